// Emmett's side: the same protocol on stdin and stdout as peer_program.py. Copied beside its modules before it is run.
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { CommandHandler } from '@event-driven-io/emmett'
import { getEventStoreDBEventStore } from '@event-driven-io/emmett-esdb'
import { EventStoreDBClient } from '@eventstore/db-client'

const require = createRequire(import.meta.url)
const version = name => {
  const main = require.resolve(name)
  const root = main.slice(0, main.indexOf(`node_modules/${name}`)) + `node_modules/${name}`
  return require(`${root}/package.json`).version
}
const names = ['@event-driven-io/emmett', '@event-driven-io/emmett-esdb', '@eventstore/db-client']
console.log(JSON.stringify({ node: process.version, ...Object.fromEntries(names.map(name => [name, version(name)])) }))

const client = EventStoreDBClient.connectionString(process.argv[2])
const store = getEventStoreDBEventStore(client)
const handle = CommandHandler({ evolve: (_, event) => event.data, initialState: () => ({}) })
const register = async () => {
  const began = performance.now()
  await handle(store, `peer-${randomUUID()}`, () => ({
    type: 'Registered',
    data: { name: 'Ann', email: 'ann@example.org' },
  }))
  return (performance.now() - began) / 1000
}

for await (const line of createInterface({ input: process.stdin })) {
  const [times, atOnce] = line.split(' ').map(Number)
  const taken = []
  let left = times
  const began = performance.now()
  const worker = async () => {
    while (left-- > 0) taken.push(await register())
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const seconds = (performance.now() - began) / 1000
  taken.sort((a, b) => a - b)
  console.log(JSON.stringify({ seconds, p50: taken[taken.length >> 1] }))
}
await client.dispose()
