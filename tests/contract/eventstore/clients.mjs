// One official client drives every feature; prints what it saw as one line of JSON. Usage: clients.mjs PACKAGE URI
const [packageName, uri] = process.argv.slice(2);
const m = await import(packageName);
const client = (m.KurrentDBClient ?? m.EventStoreDBClient).connectionString(uri);
const stream = `node-${crypto.randomUUID()}`;
const event = (n) => m.jsonEvent({ type: `T${n}`, data: { n } });
const expecting = (revision) => ({ expectedRevision: revision, streamState: revision });
const seen = {};

async function taken(events, count, each = async () => {}) {
  const types = [];
  for await (const item of events) {
    types.push(item.event.type);
    await each(item);
    if (types.length === count) break;
  }
  return types;
}
async function errorOf(act) {
  try { await act(); return null; } catch (error) { return error.type; }
}

const written = await client.appendToStream(stream, [event(0), event(1)], expecting(m.NO_STREAM));
seen.revision = String(written.nextExpectedRevision);
seen.wrong_version = await errorOf(() => client.appendToStream(stream, [event(2)], expecting(m.NO_STREAM)));
seen.read = await taken(client.readStream(stream));
seen.backwards = await taken(client.readStream(stream, { direction: m.BACKWARDS, fromRevision: m.END }));
seen.missing = await errorOf(() => taken(client.readStream(`no-${stream}`)));
seen.subscribed = await taken(client.subscribeToStream(stream), 2);
seen.filtered = await taken(client.subscribeToAll({ filter: m.streamNameFilter({ prefixes: [stream] }) }), 2);

const settings = m.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: m.START });
await client.createPersistentSubscriptionToStream(stream, "g", settings);
seen.exists = await errorOf(() => client.createPersistentSubscriptionToStream(stream, "g", settings));
const consumer = client.subscribeToPersistentSubscriptionToStream(stream, "g");
seen.persistent = await taken(consumer, 2, (item) => consumer.ack(item));
seen.start = (await client.getPersistentSubscriptionToStreamInfo(stream, "g")).settings.startFrom;
await client.replayParkedMessagesToStream(stream, "g");
await client.createPersistentSubscriptionToAll(stream, m.persistentSubscriptionToAllSettingsFromDefaults());
seen.listed = (await client.listAllPersistentSubscriptions()).length;
await client.deletePersistentSubscriptionToStream(stream, "g");
await client.deletePersistentSubscriptionToAll(stream);
seen.gone = await errorOf(() => client.getPersistentSubscriptionToStreamInfo(stream, "g"));

const links = client.subscribeToStream("$ce-node", { resolveLinkTos: true, fromRevision: m.START });
seen.category = await taken(links, 2);
await client.createProjection(`p-${stream}`, "fromAll()");
seen.projection = (await client.getProjectionStatus(`p-${stream}`)).status;
await client.disableProjection(`p-${stream}`);
seen.stopped = (await client.getProjectionStatus(`p-${stream}`)).status;
await client.deleteProjection(`p-${stream}`);
seen.projections = (await client.listProjections()).map((p) => `${p.name} ${p.status}`).sort();

await client.setStreamMetadata(stream, { maxCount: 1 });
seen.metadata = (await client.getStreamMetadata(stream)).metadata;
seen.truncated = await taken(client.readStream(stream));
await client.deleteStream(stream);
seen.deleted = await errorOf(() => taken(client.readStream(stream)));
await client.tombstoneStream(stream);
seen.tombstoned = await errorOf(() => taken(client.readStream(stream)));
console.log(JSON.stringify(seen));
await client.dispose();
process.exit(0);
