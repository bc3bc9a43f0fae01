// An order from Node: @grpc/grpc-js and @grpc/proto-loader, the protos, and nothing else of ours.
// argv: root of the repository, address of the commands, address of the queries
const crypto = require('crypto')
const grpc = require('@grpc/grpc-js')
const loader = require('@grpc/proto-loader')

const [root, commandsAt, queriesAt] = process.argv.slice(2)
const load = file => grpc.loadPackageDefinition(
  loader.loadSync(file, { includeDirs: [root], keepCase: true, longs: String, enums: String, defaults: true }))
const plain = grpc.credentials.createInsecure()
const orders = new (load('protos/orders/v1/commands.proto').orders.v1.OrderCommandService)(commandsAt, plain)
const products = new (load('protos/products/v1/commands.proto').products.v1.ProductCommandService)(commandsAt, plain)
const users = new (load('protos/users/v1/commands.proto').users.v1.UserCommandService)(commandsAt, plain)
const queries = new (load('protos/orders/v1/queries.proto').orders.v1.OrderQueryService)(queriesAt, plain)

const call = (client, method, request) => new Promise((resolve, reject) =>
  client[method](request, { deadline: Date.now() + 15000 }, (error, reply) => error ? reject(error) : resolve(reply)))
const send = (client, method, request) => call(client, method, { request_id: crypto.randomUUID(), ...request })

async function main () {
  const sku = 'node-' + crypto.randomBytes(4).toString('hex')
  const user = await send(users, 'RegisterUser', { name: 'Ann', email: `${crypto.randomUUID()}@example.org` })
  await send(products, 'RegisterProduct', { sku, name: 'Tea', price: { amount_minor: 350, currency: 'EUR' } })
  await send(products, 'ActivateProduct', { sku })
  const { order_id } = await send(orders, 'CreateOrder', {
    customer_id: user.user_id,
    currency: 'EUR',
    lines: [{ sku, quantity: 2 }],
    shipping_address: { name: 'Ann', line1: '1 High Street', city: 'Ghent', country: 'BE' }
  })
  const placed = await send(orders, 'PlaceOrder', { order_id })
  const token = placed.consistency_token
  const { order } = await call(queries, 'GetOrder', { order_id, consistency_token: token })
  const list = await call(queries, 'ListOrders', { customer_id: user.user_id, consistency_token: token })
  const history = await call(queries, 'GetOrderHistory', { order_id })
  const refused = await send(orders, 'AddLine', { order_id, line: { sku, quantity: 1 } }).catch(error => error)
  console.log(JSON.stringify({
    status: order.status,
    total: order.total.amount_minor,
    listed: list.orders.map(row => row.order_id).includes(order_id),
    events: history.entries.map(entry => entry.event_type),
    typed: history.entries[3].event.order_placed_v2.total.amount_minor,
    refused: { code: refused.code, details: refused.metadata.get('grpc-status-details-bin').length }
  }))
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
