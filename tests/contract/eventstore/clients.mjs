// One official client drives every feature; prints what it saw as one line of JSON. Usage: clients.mjs PACKAGE URI
const [packageName, uri] = process.argv.slice(2);
const m = await import(packageName);
const Client = m.KurrentDBClient ?? m.EventStoreDBClient;
const client = Client.connectionString(uri);
const lenient = Client.connectionString(`${uri}&throwOnAppendFailure=false`);
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
async function eventually(look, until) {
  for (const deadline = Date.now() + 20_000; ; await new Promise((wake) => setTimeout(wake, 20))) {
    const found = await look();
    if (until(found)) return found;
    if (Date.now() > deadline) throw new Error(`it is still ${JSON.stringify(found)}`);
  }
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

// appending, in all its forms
const forms = `forms-${stream}`;
await client.appendToStream(forms, m.jsonEvent({ type: "json", data: { a: "ü" }, metadata: { $correlationId: "c" } }), expecting(m.ANY));
await client.appendToStream(forms, m.binaryEvent({ type: "binary", data: Buffer.from([0, 255]) }), expecting(m.STREAM_EXISTS));
await client.appendToStream(forms, event(2), expecting(1n));
const repeated = event(3);
seen.again = [];
for (let time = 0; time < 2; time += 1) {
  const done = await client.appendToStream(forms, repeated, expecting(2n));
  seen.again.push(`${done.nextExpectedRevision} ${done.position.commit > 0n}`);
}
const refused = await lenient.appendToStream(forms, event(4), expecting(9n));
seen.refused = `${refused.success} ${refused.nextExpectedRevision}`;
seen.missing_stream = await errorOf(() => client.appendToStream(`no-${forms}`, event(0), expecting(m.STREAM_EXISTS)));
const large = m.binaryEvent({ type: "large", data: Buffer.alloc(1_100_000) });
seen.large = await errorOf(() => client.appendToStream(forms, large, expecting(m.ANY)));
const chunks = Array.from({ length: 9 }, () => m.binaryEvent({ type: "large", data: Buffer.alloc(900_000) }));
seen.large_in_chunks = await errorOf(() => client.appendToStream(forms, chunks, expecting(m.ANY)));
seen.many = (await Promise.all(Array.from({ length: 50 }, (_, n) =>
  client.appendToStream(`many-${n}-${stream}`, [event(0), event(1)], expecting(m.NO_STREAM))))).every((done) => done.success);
seen.multi = await errorOf(() => client.multiStreamAppend?.([{ streamName: forms, expectedState: m.ANY, events: [event(5)] }]));

// reading, in all its forms
const items = [];
for await (const { event: read } of client.readStream(forms)) items.push(read);
seen.forms = items.map((e) => `${e.type} ${e.revision} ${e.isJson} ${e.created instanceof Date}`);
seen.data = [items[0].data.a, items[0].metadata.$correlationId, Buffer.from(items[1].data).toString("hex")];
const read = (options) => taken(client.readStream(forms, options));
seen.parts = [await read({ fromRevision: 1n, maxCount: 2 }), await read({ fromRevision: m.END, direction: m.BACKWARDS, maxCount: 1 })];
const start = { fromPosition: items[0].position };
const all = (options) => taken(client.readAll({ ...start, ...options }), undefined);
// the older of the two cannot filter what it reads, only what it follows
seen.all = m.KurrentDBClient && {
  prefix: await all({ filter: m.eventTypeFilter({ prefixes: ["js", "bin"] }) }),
  regex: await all({ filter: m.eventTypeFilter({ regex: "^(json|binary)$" }) }),
  streams: await all({ filter: m.streamNameFilter({ regex: `^${forms}$` }) }),
  backwards: await taken(client.readAll({ direction: m.BACKWARDS, fromPosition: items[2].position, maxCount: 2,
    filter: m.streamNameFilter({ prefixes: [forms] }) })),
  user: (await all({ filter: m.excludeSystemEvents() })).every((type) => !type.startsWith("$")),
};

// following, in all its forms
const after = client.subscribeToStream(forms, { fromRevision: 2n });
seen.after = await taken(after, 1);
const end = client.subscribeToStream(forms, { fromRevision: m.END });
await new Promise((confirmed) => end.once("confirmation", confirmed));
await client.appendToStream(forms, m.jsonEvent({ type: "live", data: {} }), expecting(m.ANY));
seen.live = await taken(end, 1);
const checkpoints = [];
const filter = m.streamNameFilter({ prefixes: [forms], maxSearchWindow: 2, checkpointInterval: 1,
  checkpointReached: (_, position) => checkpoints.push(position.commit) });
seen.checked = await taken(client.subscribeToAll({ ...start, filter }), 3);
seen.checkpoints = checkpoints.length > 0 && checkpoints.every((at, n) => !n || at > checkpoints[n - 1]);
const gone = client.subscribeToStream(`gone-${stream}`);
await new Promise((confirmed) => gone.once("confirmation", confirmed));
await client.tombstoneStream(`gone-${stream}`);
seen.gone_while_followed = await errorOf(() => taken(gone));

// groups, in all their forms
const more = { startFrom: m.START, maxRetryCount: 1, consumerStrategyName: m.ROUND_ROBIN, maxSubscriberCount: 1 };
await client.createPersistentSubscriptionToStream(forms, "forms", m.persistentSubscriptionToStreamSettingsFromDefaults(more));
const told = await client.getPersistentSubscriptionToStreamInfo(forms, "forms");
seen.settings = [told.settings.maxRetryCount, told.settings.consumerStrategyName, told.settings.maxSubscriberCount, told.groupName];
const worker = client.subscribeToPersistentSubscriptionToStream(forms, "forms", { bufferSize: 1 });
await new Promise((confirmed) => worker.once("confirmation", confirmed));
seen.too_many = await errorOf(() => taken(client.subscribeToPersistentSubscriptionToStream(forms, "forms")));
const met = [];
for await (const item of worker) {
  met.push(`${item.event.type} ${item.retryCount}`);
  if (item.event.type === "live") break; // left in flight; that it came tells that the answers before it arrived
  if (item.event.type === "json" && item.retryCount === 0) await worker.nack(m.RETRY, "again", item);
  else if (item.event.type === "binary") await worker.nack(m.PARK, "never", item);
  else if (item.event.type === "T2") await worker.nack(m.SKIP, "no", item);
  else await worker.ack(item);
}
seen.met = met;
await worker.unsubscribe();
const parked = () => client.getPersistentSubscriptionToStreamInfo(forms, "forms").then((i) => i.stats.parkedMessageCount);
seen.parked = await eventually(parked, (count) => Number(count) === 1).then(Number);
await client.replayParkedMessagesToStream(forms, "forms", { stopAt: 1 });
const alone = (info) => info.connections.length === 0;
await eventually(() => client.getPersistentSubscriptionToStreamInfo(forms, "forms"), alone);
seen.replayed = await taken(client.subscribeToPersistentSubscriptionToStream(forms, "forms"), 2);
seen.parked_after = Number(await parked());
await client.updatePersistentSubscriptionToStream(forms, "forms", m.persistentSubscriptionToStreamSettingsFromDefaults({ maxRetryCount: 7 }));
seen.updated = (await client.getPersistentSubscriptionToStreamInfo(forms, "forms")).settings.maxRetryCount;
seen.of_stream = (await client.listPersistentSubscriptionsToStream(forms)).map((i) => i.groupName);
const everything = { ...more, filter: m.streamNameFilter({ prefixes: [forms] }) };
await client.createPersistentSubscriptionToAll("forms", m.persistentSubscriptionToAllSettingsFromDefaults(more), everything);
const collector = client.subscribeToPersistentSubscriptionToAll("forms");
seen.of_all = await taken(collector, 2, (item) => collector.ack(item));
await collector.unsubscribe();
await eventually(() => client.getPersistentSubscriptionToAllInfo("forms"), alone);
await client.updatePersistentSubscriptionToAll("forms", m.persistentSubscriptionToAllSettingsFromDefaults({ maxRetryCount: 8 }));
seen.all_updated = (await client.getPersistentSubscriptionToAllInfo("forms")).settings.maxRetryCount;
await client.replayParkedMessagesToAll("forms");
seen.all_listed = (await client.listPersistentSubscriptionsToAll()).map((i) => i.groupName);
const dropped = client.subscribeToPersistentSubscriptionToAll("forms");
await new Promise((confirmed) => dropped.once("confirmation", confirmed));
const drop = new Promise((told) => dropped.once("error", (error) => told(error.type)));
await client.restartPersistentSubscriptionSubsystem();
seen.dropped = await drop;
await client.deletePersistentSubscriptionToAll("forms");
seen.unknown_group = await errorOf(() => taken(client.subscribeToPersistentSubscriptionToAll("forms")));

const links = client.subscribeToStream("$ce-node", { resolveLinkTos: true, fromRevision: m.START });
seen.category = await taken(links, 2);
await client.createProjection(`p-${stream}`, "fromAll()");
seen.projection = (await client.getProjectionStatus(`p-${stream}`)).status;
await client.updateProjection(`p-${stream}`, "fromAll().when({})", { emitEnabled: true });
await client.resetProjection(`p-${stream}`);
seen.state = await client.getProjectionState(`p-${stream}`);
seen.result = await client.getProjectionResult(`p-${stream}`);
await client.enableProjection(`p-${stream}`);
await client.abortProjection(`p-${stream}`);
await client.disableProjection(`p-${stream}`);
seen.stopped = (await client.getProjectionStatus(`p-${stream}`)).status;
await client.deleteProjection(`p-${stream}`);
seen.no_projection = await errorOf(() => client.getProjectionStatus(`p-${stream}`));
await client.restartSubsystem();
seen.projections = (await client.listProjections()).map((p) => `${p.name} ${p.status}`).sort();

await client.setStreamMetadata(stream, { maxCount: 1 });
seen.metadata = (await client.getStreamMetadata(stream)).metadata;
seen.truncated = await taken(client.readStream(stream));
seen.delete_refused = await errorOf(() => client.deleteStream(stream, { expectedRevision: 9n, streamState: 9n }));
await client.deleteStream(stream);
seen.deleted = await errorOf(() => taken(client.readStream(stream)));
await client.tombstoneStream(stream);
seen.tombstoned = await errorOf(() => taken(client.readStream(stream)));
console.log(JSON.stringify(seen));
await Promise.all([client.dispose(), lenient.dispose()]);
process.exit(0);
