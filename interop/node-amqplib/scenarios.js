'use strict';
// The scenarios of ../README.md with amqplib's promise API.

const {
  AMQP_URL, Inbox, Skip, awaitCount, channelError, connectionError, count, drain, equal, main, needsRestart, numbered,
  openChannel, restartBroker, send, sleep, texts, until,
} = require('./harness');

function ignore() {} // a consumer for queues that must refuse it

async function hello(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel);
  channel.sendToQueue(queue, Buffer.from('hello'));
  const inbox = await Inbox.on(channel, queue);
  const [message] = await inbox.take(1);
  equal(message.content.toString(), 'hello');
  const { exchange, routingKey, redelivered } = message.fields;
  equal({ exchange, routingKey, redelivered }, { exchange: '', routingKey: queue, redelivered: false });
  channel.ack(message);
  await channel.cancel(inbox.tag);
  equal(await count(channel, queue), 0);
}

const TOPIC_ROUTES = [['a.b.c', [0, 1]], ['a', [1, 2]], ['a.b', [1]], ['b', [2]], ['a..c', [0, 1]], ['b.a.c', []]];
const HEADER_ROUTES = [
  [{ type: 'report', n: 1 }, [0, 1]], [{ type: 'report' }, [1]], [{ type: 'report', n: 2 }, [1]],
  [{ type: 'other' }, []], [{}, []],
];

async function topology(run) {
  const channel = await run.channel();
  const names = {};
  for (const kind of ['direct', 'fanout', 'topic', 'headers']) {
    names[kind] = run.exchange(kind);
    await channel.assertExchange(names[kind], kind);
    await channel.checkExchange(names[kind]);
  }
  const { direct, fanout, topic, headers } = names;
  const q = [];
  for (let i = 0; i < 3; i++) q.push(await run.declared(channel, `q${i}`));

  async function routed(exchange, key, wanted, table) {
    channel.publish(exchange, key, Buffer.from(key), { headers: table });
    const reached = [];
    for (let i = 0; i < 3; i++) if ((await drain(channel, q[i])).join() === key) reached.push(i);
    equal(reached, wanted);
  }

  await channel.bindQueue(q[0], direct, 'red');
  await channel.bindQueue(q[0], direct, 'red');
  await routed(direct, 'red', [0]);
  await routed(direct, 'blue', []);
  await channel.unbindQueue(q[0], direct, 'red');
  await channel.unbindQueue(q[0], direct, 'red');
  await routed(direct, 'red', []);

  await channel.bindQueue(q[0], fanout, 'any');
  await channel.bindQueue(q[1], fanout, '');
  await routed(fanout, 'other', [0, 1]);
  await channel.bindExchange(fanout, direct, 'e2e');
  await routed(direct, 'e2e', [0, 1]);
  await channel.unbindExchange(fanout, direct, 'e2e');
  await routed(direct, 'e2e', []);

  for (const [i, pattern] of ['a.*.c', 'a.#', '*'].entries()) await channel.bindQueue(q[i], topic, pattern);
  for (const [key, wanted] of TOPIC_ROUTES) await routed(topic, key, wanted);

  const matchAny = { 'x-match': 'any', type: 'report', n: 1 };
  await channel.bindQueue(q[0], headers, '', { 'x-match': 'all', type: 'report', n: 1 });
  await channel.bindQueue(q[1], headers, '', matchAny);
  for (const [table, wanted] of HEADER_ROUTES) await routed(headers, 'h', wanted, table);
  await channel.unbindQueue(q[1], headers, '', matchAny);
  await routed(headers, 'h', [0], { type: 'report', n: 1 });

  for (const name of [direct, fanout, topic, headers, direct]) await channel.deleteExchange(name);
  await channelError(await run.connect(), 404, (ch) => ch.checkExchange(direct));
}

async function declare(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const queue = await run.declared(channel);
  await channel.assertQueue(queue);
  await send(channel, queue, numbered(0, 2));
  const holder = await openChannel(connection);
  await (await Inbox.on(holder, queue)).take(3);
  equal({ ...(await channel.checkQueue(queue)) }, { queue, messageCount: 0, consumerCount: 1 });
  await channelError(connection, 406, (ch) => ch.deleteQueue(queue, { ifUnused: true }));
  await holder.close();
  await awaitCount(channel, queue, 3);
  await channelError(connection, 406, (ch) => ch.deleteQueue(queue, { ifEmpty: true }));
  equal((await channel.purgeQueue(queue)).messageCount, 3);
  equal((await channel.deleteQueue(queue, { ifUnused: true, ifEmpty: true })).messageCount, 0);
  equal((await channel.deleteQueue(queue)).messageCount, 0);
  const named = (await channel.assertQueue('', { exclusive: true })).queue;
  equal(named.startsWith('amq.gen-'), true);
  const exchange = run.exchange('x');
  await channel.assertExchange(exchange, 'fanout');
  await channel.bindQueue(named, exchange, '');
  await channelError(connection, 406, (ch) => ch.deleteExchange(exchange, { ifUnused: true }));
  await channel.unbindQueue(named, exchange, '');
  await channel.deleteExchange(exchange, { ifUnused: true });
}

async function confirms(run) {
  const channel = await run.confirmChannel();
  const queue = await run.declared(channel);
  const bodies = numbered(0, 1099);
  for (let first = 0; first < 1000; first += 100) {
    for (const body of bodies.slice(first, first + 100)) {
      channel.sendToQueue(queue, Buffer.from(body), { persistent: true });
    }
    await channel.waitForConfirms();
  }
  for (const body of bodies.slice(1000)) {
    await new Promise((resolve, reject) => {
      const done = (error) => (error ? reject(error) : resolve());
      channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, done);
    });
  }
  equal(await count(channel, queue), 1100);
  equal(await (await Inbox.on(channel, queue, { noAck: true })).bodies(1100), bodies);
}

async function returns(run) {
  const channel = await run.confirmChannel();
  const queue = await run.declared(channel);
  const events = [];
  channel.on('return', (message) => events.push(message));
  function publish(key, body, options) {
    channel.publish('', key, Buffer.from(body), options, (error) => events.push(error ? 'nack' : `ack ${body}`));
  }
  publish(`${queue}.none`, 'lost', { mandatory: true });
  publish(queue, 'kept', { mandatory: true });
  publish(`${queue}.none`, 'dropped', {});
  await channel.waitForConfirms();
  const [{ fields, content }, ...rest] = events;
  const { replyCode, replyText, exchange, routingKey } = fields;
  equal({ replyCode, replyText, exchange, routingKey, body: content.toString() },
    { replyCode: 312, replyText: 'NO_ROUTE', exchange: '', routingKey: `${queue}.none`, body: 'lost' });
  equal(rest.sort(), ['ack dropped', 'ack kept', 'ack lost']);
  equal(await drain(channel, queue), ['kept']);
}

async function acks(run) {
  const connection = await run.connect();
  let channel = await openChannel(connection);
  const queue = await run.declared(channel);
  await send(channel, queue, numbered(0, 9));
  const inbox = await Inbox.on(channel, queue);
  const got = await inbox.take(10);
  equal(texts(got), numbered(0, 9));
  equal(got.map((m) => [m.fields.deliveryTag, m.fields.redelivered]), got.map((_, i) => [i + 1, false]));
  await channel.cancel(inbox.tag);
  channel.ack(got[0]);
  channel.ack(got[2], true);
  channel.reject(got[3], false);
  channel.nack(got[6], true, true);
  await awaitCount(channel, queue, 3);
  channel.reject(got[7], true);
  channel.nack(got[8], false, true);
  await awaitCount(channel, queue, 5);
  await channel.close();
  channel = await openChannel(connection);
  const again = await (await Inbox.on(channel, queue)).take(6);
  equal(texts(again), numbered(4, 9));
  equal(again.every((m) => m.fields.redelivered), true);
  channel.ack(again[5], true);
  await channel.close();
  equal(await count(await openChannel(connection), queue), 0);
}

async function prefetch(run) {
  const connection = await run.connect();
  for (const [name, limit, global, outstanding] of [['each', 3, false, 6], ['all', 4, true, 4]]) {
    const channel = await openChannel(connection);
    const queue = await run.declared(channel, name);
    await send(channel, queue, numbered(0, 9));
    await channel.prefetch(limit, global);
    const inboxes = [await Inbox.on(channel, queue), await Inbox.on(channel, queue)];
    const held = () => inboxes[0].got.length + inboxes[1].got.length;
    await until(() => held() >= outstanding);
    await sleep(300);
    equal(held(), outstanding);
    if (!global) equal(inboxes.map((inbox) => inbox.got.length), [3, 3]);
    channel.ack(inboxes.find((inbox) => inbox.got.length).got[0]);
    await until(() => held() >= outstanding + 1);
    await sleep(200);
    equal(held(), outstanding + 1);
    await channel.close();
  }
}

async function get(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel);
  await send(channel, queue, numbered(0, 2));
  const view = ({ content, fields: { messageCount, redelivered, exchange, routingKey } }) =>
    [content.toString(), messageCount, redelivered, exchange, routingKey];
  let message = await channel.get(queue);
  equal(view(message), ['m0', 2, false, '', queue]);
  channel.ack(message);
  message = await channel.get(queue);
  equal(view(message), ['m1', 1, false, '', queue]);
  channel.nack(message, false, true);
  await awaitCount(channel, queue, 2);
  equal(view(await channel.get(queue, { noAck: true })), ['m1', 1, true, '', queue]);
  equal(await drain(channel, queue), ['m2']);
  equal(await channel.get(queue), false);
}

async function properties(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel);
  const full = {
    contentType: 'text/plain', contentEncoding: 'utf-8', headers: { k: 'v' }, deliveryMode: 2, priority: 5,
    correlationId: 'c-1', replyTo: 'r', expiration: '60000', messageId: 'id-1', timestamp: 1700000000, type: 'kind',
    userId: decodeURIComponent(new URL(AMQP_URL).username), appId: 'app',
  };
  const unset = Object.fromEntries(Object.keys(full).map((key) => [key, undefined]));
  for (const sent of [full, {}]) {
    await send(channel, queue, ['x'], sent);
    const got = (await channel.get(queue, { noAck: true })).properties;
    // amqplib always sends a headers table, and has no way to send cluster-id.
    equal({ ...got }, { ...unset, headers: {}, clusterId: undefined, ...sent });
  }
}

async function headers(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel);
  const typed = {
    u8: ['uint8', 255], u16: ['uint16', 65535], u32: ['uint32', 2 ** 32 - 1], i64: ['int64', -7], float: ['float', 2.5],
  };
  const table = {
    true: true, false: false, i8: -7, i16: -300, i32: -70000, long: 2 ** 40, double: 0.1, string: 'text',
    unicode: 'žluť ☃', empty: '', bytes: Buffer.from([0, 255]), void: null, ключ: 'key',
    decimal: { '!': 'decimal', value: { places: 2, digits: 314 } }, time: { '!': 'timestamp', value: 1700000000 },
    table: { a: 1, b: { c: 'deep', d: {} } }, array: [1, 'two', null, [3.5, []], { four: 4 }],
  };
  const sent = { ...table };
  for (const [key, [type, value]] of Object.entries(typed)) {
    sent[key] = { '!': type, value };
    table[key] = value;
  }
  await send(channel, queue, ['x'], { headers: sent });
  equal((await channel.get(queue, { noAck: true })).properties.headers, table);
}

async function large(run) {
  const channel = await run.confirmChannel();
  const queue = await run.declared(channel);
  const inbox = await Inbox.on(channel, queue, { noAck: true });
  const pattern = Buffer.from(Array.from({ length: 251 * 40 }, (_, i) => (i * 7) % 251));
  for (const size of [10_000_000, 0, 131063, 131064, 131065, 262128]) {
    const body = Buffer.alloc(size, pattern);
    channel.sendToQueue(queue, body, { persistent: true });
    await channel.waitForConfirms();
    equal((await inbox.take(1))[0].content.equals(body), true);
  }
}

async function heartbeat(run) {
  const url = new URL(AMQP_URL);
  url.searchParams.set('heartbeat', '2');
  const [idle, consuming] = [await run.connect(url.href), await run.connect(url.href)];
  const queue = await run.declared(await openChannel(idle));
  const inbox = await Inbox.on(await openChannel(consuming), queue, { noAck: true });
  await sleep(7000);
  (await openChannel(idle)).sendToQueue(queue, Buffer.from('still here'));
  equal(await inbox.bodies(1), ['still here']);
}

async function channelErrors(run) {
  const [connection, other] = [await run.connect(), await run.connect()];
  const channel = await openChannel(connection);
  const queue = await run.declared(channel);
  const exchange = run.exchange('x');
  await channel.assertExchange(exchange, 'direct');
  const locked = await run.declared(await openChannel(other), 'locked', { durable: false, exclusive: true });
  const missing = `${queue}.missing`;
  for (const [code, action] of [
    [404, (ch) => ch.checkQueue(missing)],
    [404, (ch) => ch.checkExchange(missing)],
    [404, (ch) => ch.consume(missing, ignore)],
    [404, (ch) => ch.get(missing)],
    [404, (ch) => ch.bindQueue(queue, missing, 'k')],
    [404, (ch) => ch.publish(missing, 'k', Buffer.from('x'))],
    [406, (ch) => ch.assertQueue(queue, { autoDelete: true })],
    [406, (ch) => ch.assertQueue(queue, { maxLength: 5 })],
    [406, (ch) => ch.assertExchange(exchange, 'fanout')],
    [406, (ch) => ch.ack({ fields: { deliveryTag: 99 } })],
    [403, (ch) => ch.assertQueue(`amq.${queue}`)],
    [403, (ch) => ch.assertExchange(`amq.${exchange}`, 'direct')],
    [403, (ch) => ch.bindQueue(queue, '', 'k')],
    [405, (ch) => ch.checkQueue(locked)],
    [405, (ch) => ch.consume(locked, ignore)],
  ]) {
    await channelError(connection, code, action);
  }
  equal(await count(channel, queue), 0);
}

async function connectionErrors(run) {
  const bystander = await run.channel();
  const queue = await run.declared(bystander);
  await connectionError(run, 530, async (ch) => {
    await ch.consume(queue, ignore, { consumerTag: 'twice' });
    await ch.consume(queue, ignore, { consumerTag: 'twice' });
  });
  equal(await count(bystander, queue), 0);
}

async function login(run) {
  const [vhost, password] = [new URL(AMQP_URL), new URL(AMQP_URL)];
  vhost.pathname = '/no-such-vhost';
  password.password = 'wrong';
  // The library gives the code of a refused login; of a refused vhost it says only that the broker closed.
  for (const [cause, url] of [['ConnectionClose', vhost], ['403', password]]) {
    const refusal = await run.connect(url.href).then(() => 'connected', (error) => error.message);
    equal(refusal.includes(cause) || refusal, true);
  }
  await run.connect();
}

async function consumerCancel(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel);
  let inbox = await Inbox.on(channel, queue, { noAck: true });
  await channel.cancel(inbox.tag);
  await send(channel, queue, ['later']);
  equal([(await channel.checkQueue(queue)).consumerCount, inbox.got.length], [0, 0]);
  inbox = await Inbox.on(channel, queue, { noAck: true });
  equal(await inbox.bodies(1), ['later']);
  await (await run.channel()).deleteQueue(queue);
  await until(() => inbox.cancelled);
  await channel.prefetch(1); // still open
}

async function lifetimes(run) {
  const [connection, owner] = [await run.connect(), await run.connect()];
  const [channel, owning] = [await openChannel(connection), await openChannel(owner)];
  const gone = async (queue) => {
    const checking = await openChannel(connection);
    return checking.checkQueue(queue).then(() => checking.close().then(() => false), (error) => error.code === 404);
  };
  const exclusive = await run.declared(owning, 'exclusive', { durable: false, exclusive: true });
  await channelError(connection, 405, (ch) => ch.assertQueue(exclusive, { durable: false, exclusive: true }));
  const auto = await run.declared(channel, 'auto', { autoDelete: true });
  await Inbox.on(owning, auto);
  await channel.cancel((await Inbox.on(channel, auto)).tag);
  equal(await gone(auto), false);
  await owner.close();
  await until(() => gone(exclusive));
  await until(() => gone(auto));
  const queue = await run.declared(channel);
  const exchange = run.exchange('auto');
  await channel.assertExchange(exchange, 'fanout', { autoDelete: true });
  await channel.bindQueue(queue, exchange, '');
  await channel.checkExchange(exchange);
  await channel.unbindQueue(queue, exchange, '');
  await channelError(connection, 404, (ch) => ch.checkExchange(exchange));
}

async function exclusiveConsumer(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const queue = await run.declared(channel);
  const sole = await Inbox.on(channel, queue, { exclusive: true });
  await channelError(connection, 403, (ch) => ch.consume(queue, ignore));
  await channelError(await run.connect(), 403, (ch) => ch.consume(queue, ignore));
  await channel.cancel(sole.tag);
  const shared = await Inbox.on(channel, queue);
  await channelError(connection, 403, (ch) => ch.consume(queue, ignore, { exclusive: true }));
  channel.sendToQueue(queue, Buffer.from('m'));
  equal(await shared.bodies(1), ['m']);
}

async function roundRobin(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const queue = await run.declared(channel);
  const inboxes = [];
  for (let i = 0; i < 2; i++) inboxes.push(await Inbox.on(await openChannel(connection), queue, { noAck: true }));
  for (const body of numbered(0, 9)) channel.sendToQueue(queue, Buffer.from(body));
  const bodies = [await inboxes[0].bodies(5), await inboxes[1].bodies(5)];
  equal(bodies.sort(), [['m0', 'm2', 'm4', 'm6', 'm8'], ['m1', 'm3', 'm5', 'm7', 'm9']]);
}

async function channels(run) {
  const connection = await run.connect();
  for (let round = 0; round < 2; round++) {
    const opened = await Promise.all(Array.from({ length: 100 }, () => openChannel(connection)));
    await Promise.all(opened.map(async (channel, i) => {
      const queue = await run.declared(channel, `q${i}`, { durable: false, exclusive: true });
      await send(channel, queue, [`${i}`]);
      equal(await drain(channel, queue), [`${i}`]);
      await channel.close();
    }));
  }
}

async function unackedOrder(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel);
  await send(channel, queue, numbered(0, 19));
  const holder = await run.connect();
  await (await Inbox.on(await openChannel(holder), queue)).take(20);
  await holder.close();
  const got = await (await Inbox.on(channel, queue)).take(20);
  equal(texts(got), numbered(0, 19));
  equal(got.every((m) => m.fields.redelivered), true);
}

async function tx() {
  throw new Skip('amqplib has no tx');
}

async function blocked(run) {
  const connection = await run.connect();
  const notices = [];
  connection.on('blocked', (reason) => notices.push(reason));
  equal(connection.connection.serverProperties.capabilities['connection.blocked'], true);
  const channel = await openChannel(connection);
  const queue = await run.declared(channel);
  await send(channel, queue, ['x']);
  await sleep(200);
  equal([notices, await drain(channel, queue)], [[], ['x']]);
}

async function restart(run) {
  needsRestart();
  const channel = await run.confirmChannel();
  const [queue, exchange] = [await run.declared(channel), run.exchange('x')];
  const transient = await run.declared(channel, 'transient', { durable: false });
  await channel.assertExchange(exchange, 'direct');
  await channel.bindQueue(queue, exchange, 'k');
  for (const body of numbered(0, 99)) channel.publish(exchange, 'k', Buffer.from(body), { persistent: true });
  await channel.waitForConfirms();
  await restartBroker();
  const connection = await run.connect();
  const after = await connection.createConfirmChannel();
  equal(await count(after, queue), 100);
  await channelError(connection, 404, (ch) => ch.checkQueue(transient));
  after.publish(exchange, 'k', Buffer.from('m100'), { persistent: true });
  await after.waitForConfirms();
  equal(await (await Inbox.on(after, queue, { noAck: true })).bodies(101), numbered(0, 100));
}

async function recovery(run) {
  needsRestart();
  const queue = await run.declared(await run.channel());
  const got = [];
  const setup = async (connection) => {
    const channel = await openChannel(connection);
    await channel.assertQueue(queue);
    await channel.consume(queue, (message) => message && got.push(message.content.toString()), { noAck: true });
  };
  await run.connect(AMQP_URL, { recovery: { setup, initialDelay: 200, maxDelay: 500 } });
  (await run.channel()).sendToQueue(queue, Buffer.from('before'));
  await until(() => got.length === 1);
  await restartBroker();
  const publisher = await run.confirmChannel();
  publisher.sendToQueue(queue, Buffer.from('after'), { persistent: true });
  await publisher.waitForConfirms();
  await until(() => got.length === 2);
  equal(got, ['before', 'after']);
}

main({
  hello, topology, declare, confirms, returns, acks, prefetch, get, properties, headers, large, heartbeat,
  'channel-errors': channelErrors, 'connection-errors': connectionErrors, login, 'consumer-cancel': consumerCancel,
  lifetimes, 'exclusive-consumer': exclusiveConsumer, 'round-robin': roundRobin, channels,
  'unacked-order': unackedOrder, tx, ...require('./scenarios_queues'), blocked, restart, recovery,
});
