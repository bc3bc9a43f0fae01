# One image for every role of orderstream: the command of the container says which.
#   docker build -t orderstream .
#   docker run orderstream python -m server commands
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/orderstream
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY protos protos
COPY core core
COPY server server
COPY projections projections
COPY client client
COPY embedded embedded
RUN /opt/orderstream/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/orderstream /opt/orderstream
ENV PATH=/opt/orderstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORDERSTREAM_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
STOPSIGNAL SIGTERM
CMD ["orderstream", "--help"]
