'use strict';
// The scenarios of ../README.md about what queues and exchanges do by themselves, and about permissions.

const {
  Inbox, Skip, awaitCount, channelError, count, drain, equal, numbered, openChannel, sleep, texts, until,
} = require('./harness');

function sendWith(channel, queue, body, options) {
  channel.sendToQueue(queue, Buffer.from(body), options);
}

/** A fanout exchange for dead letters, and a consumer of all of them. */
async function deadLetters(run, channel) {
  const exchange = run.exchange('dlx');
  const dead = await run.declared(channel, 'dead');
  await channel.assertExchange(exchange, 'fanout');
  await channel.bindQueue(dead, exchange, '');
  return [exchange, await Inbox.on(channel, dead, { noAck: true })];
}

/** Reason and body of the next dead letters. */
async function deaths(inbox, wanted) {
  const letters = await inbox.take(wanted);
  return letters.map(({ properties, content }) => [properties.headers['x-death'][0].reason, content.toString()]);
}

async function deadLetter(run) {
  const channel = await run.channel();
  const [exchange, inbox] = await deadLetters(run, channel);
  const expiring = await run.declared(channel, 'expiring', { deadLetterExchange: exchange, messageTtl: 100 });
  const rejecting = await run.declared(channel, 'rejecting', { deadLetterExchange: exchange });
  const source = await Inbox.on(channel, rejecting);
  for (const [queue, reason] of [[expiring, 'expired'], [rejecting, 'rejected']]) {
    channel.sendToQueue(queue, Buffer.from('dead'), { persistent: true });
    if (reason === 'rejected') channel.reject((await source.take(1))[0], false);
    const [{ fields, properties, content }] = await inbox.take(1);
    equal([content.toString(), fields.exchange, fields.routingKey], ['dead', exchange, queue]);
    const death = properties.headers['x-death'][0];
    const { time, ...rest } = death;
    equal(rest, { queue, reason, count: 1, exchange: '', 'routing-keys': [queue] });
    equal([time['!'], properties.headers['x-first-death-queue']], ['timestamp', queue]);
    equal(properties.headers['x-first-death-reason'], reason);
  }
}

async function ttl(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const expiring = await run.declared(channel, 'expiring', { messageTtl: 300 });
  const plain = await run.declared(channel);
  sendWith(channel, expiring, 'of the queue');
  sendWith(channel, expiring, 'its own', { expiration: 60000 });
  sendWith(channel, plain, 'short', { expiration: 100 });
  sendWith(channel, plain, 'none');
  sendWith(channel, plain, 'now', { expiration: '0' });
  await awaitCount(channel, expiring, 0);
  await until(async () => (await count(channel, plain)) <= 2);
  await sleep(100);
  equal(await drain(channel, plain), ['none']);
  const inbox = await Inbox.on(channel, plain, { noAck: true });
  sendWith(channel, plain, 'now', { expiration: '0' });
  equal(await inbox.bodies(1), ['now']);
  const unused = await run.declared(channel, 'unused', { expires: 300 });
  await sleep(1000);
  await channelError(connection, 404, (ch) => ch.checkQueue(unused));
}

async function priorities(run) {
  const channel = await run.channel();
  const queue = await run.declared(channel, 'q', { maxPriority: 5 });
  for (const [i, priority] of [undefined, 1, 5, 3, 5, 200].entries()) sendWith(channel, queue, `m${i}`, { priority });
  await awaitCount(channel, queue, 6);
  equal(await drain(channel, queue), ['m2', 'm4', 'm5', 'm3', 'm1', 'm0']);
  const plain = await run.declared(channel, 'consumers');
  await channel.prefetch(2);
  const low = await Inbox.on(channel, plain);
  const high = await Inbox.on(channel, plain, { priority: 10 });
  for (const body of numbered(0, 4)) sendWith(channel, plain, body);
  equal([await high.bodies(2), await low.bodies(2)], [numbered(0, 1), numbered(2, 3)]);
  equal(await count(channel, plain), 1);
}

async function rpc(run) {
  const [client, connection] = [await run.channel(), await run.connect()];
  const server = await openChannel(connection);
  const queue = await run.declared(server);
  const replies = await Inbox.on(client, 'amq.rabbitmq.reply-to', { noAck: true });
  const requests = await Inbox.on(server, queue, { noAck: true });
  const question = { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' };
  sendWith(client, queue, 'ask', question);
  const [{ properties: { replyTo, correlationId }, content }] = await requests.take(1);
  equal(replyTo.startsWith('amq.rabbitmq.reply-to.'), true);
  const { messageCount, consumerCount } = await server.checkQueue(replyTo);
  equal([messageCount, consumerCount], [0, 1]);
  sendWith(server, replyTo, `${content}ed`, { correlationId });
  const [answer] = await replies.take(1);
  equal([answer.content.toString(), answer.properties.correlationId], ['asked', '7']);
  await client.close();
  await channelError(connection, 404, (ch) => ch.checkQueue(replyTo));
  await channelError(connection, 406, (ch) => sendWith(ch, queue, 'ask', question));
}

async function sac(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const queue = await run.declared(channel, 'q', { arguments: { 'x-single-active-consumer': true } });
  const first = await Inbox.on(channel, queue, { noAck: true });
  const second = await Inbox.on(channel, queue, { noAck: true });
  for (const body of numbered(0, 3)) sendWith(channel, queue, body);
  equal([await first.bodies(4), texts(second.got)], [numbered(0, 3), []]);
  await channel.cancel(first.tag);
  sendWith(channel, queue, 'm4');
  equal(await second.bodies(1), ['m4']);
  await channelError(connection, 403, (ch) => Inbox.on(ch, queue, { exclusive: true }));
}

async function quorum(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const [deadLetterExchange, dead] = await deadLetters(run, channel);
  const type = { 'x-queue-type': 'quorum' };
  const queue = await run.declared(channel, 'q', {
    deadLetterExchange, arguments: { ...type, 'x-delivery-limit': 2 },
  });
  sendWith(channel, queue, 'poison');
  const inbox = await Inbox.on(channel, queue);
  for (const returns of [undefined, 1, 2]) {
    const [message] = await inbox.take(1);
    equal([message.content.toString(), message.fields.redelivered, message.properties.headers['x-delivery-count']],
      ['poison', returns !== undefined, returns]);
    channel.reject(message, true);
  }
  equal(await deaths(dead, 1), [['delivery_limit', 'poison']]);
  await awaitCount(channel, queue, 0);
  await channelError(connection, 406, (ch) => ch.assertQueue(queue));
  for (const options of [{ durable: false }, { exclusive: true }, { autoDelete: true }]) {
    await channelError(connection, 406, (ch) => ch.assertQueue(`${queue}.other`, { ...options, arguments: type }));
  }
}

async function limits(run) {
  const channel = await run.confirmChannel();
  const [deadLetterExchange, dead] = await deadLetters(run, channel);
  const dropping = await run.declared(channel, 'dropping', { deadLetterExchange, maxLength: 2 });
  for (const body of numbered(0, 3)) sendWith(channel, dropping, body);
  equal(await deaths(dead, 2), [['maxlen', 'm0'], ['maxlen', 'm1']]);
  equal(await drain(channel, dropping), numbered(2, 3));
  const small = await run.declared(channel, 'small', { arguments: { 'x-max-length-bytes': 10 } });
  for (const body of ['1234', '5678', '9abc']) sendWith(channel, small, body);
  await channel.waitForConfirms();
  equal(await drain(channel, small), ['5678', '9abc']);
  for (const overflow of ['reject-publish', 'reject-publish-dlx']) {
    const full = await run.declared(channel, overflow, {
      deadLetterExchange, maxLength: 1, arguments: { 'x-overflow': overflow },
    });
    const outcomes = [];
    for (const body of numbered(0, 1)) {
      await new Promise((resolve) => {
        channel.sendToQueue(full, Buffer.from(body), {}, (error) => resolve(outcomes.push(error ? 'nack' : 'ack')));
      });
    }
    equal([outcomes, await drain(channel, full)], [['ack', 'nack'], ['m0']]);
  }
  equal(await deaths(dead, 1), [['maxlen', 'm1']]);
}

async function consumerTimeout(run) {
  const connection = await run.connect();
  const [channel, holder] = [await openChannel(connection), await openChannel(connection)];
  const queue = await run.declared(channel, 'q', { arguments: { 'x-consumer-timeout': 300 } });
  const error = new Promise((resolve) => holder.once('error', resolve));
  const inbox = await Inbox.on(holder, queue);
  sendWith(channel, queue, 'held');
  await inbox.take(1);
  equal((await error).code, 406);
  const [message] = await (await Inbox.on(channel, queue, { noAck: true })).take(1);
  equal([message.content.toString(), message.fields.redelivered], ['held', true]);
}

async function delayed(run) {
  const channel = await run.channel();
  const [exchange, queue] = [run.exchange('x'), await run.declared(channel)];
  await channel.assertExchange(exchange, 'x-delayed-message', { arguments: { 'x-delayed-type': 'direct' } });
  await channel.bindQueue(queue, exchange, 'k');
  const [inbox, sent] = [await Inbox.on(channel, queue, { noAck: true }), performance.now()];
  for (const [body, headers] of [['last', { 'x-delay': 600 }], ['second', { 'x-delay': 200 }], ['first', {}]]) {
    channel.publish(exchange, 'k', Buffer.from(body), { headers, persistent: true });
  }
  equal(await inbox.bodies(3), ['first', 'second', 'last']);
  equal(performance.now() - sent >= 600, true);
}

async function deduplication(run) {
  const channel = await run.confirmChannel();
  const [exchange, behind] = [run.exchange('x'), await run.declared(channel, 'behind')];
  await channel.assertExchange(exchange, 'x-message-deduplication', { arguments: { 'x-cache-size': 100 } });
  await channel.bindQueue(behind, exchange, '');
  const once = await run.declared(channel, 'once', { arguments: { 'x-message-deduplication': true } });
  const publish = (target, queue, identity, body) => {
    const headers = identity ? { 'x-deduplication-header': identity } : {};
    channel.publish(target, queue, Buffer.from(body), { headers, persistent: true });
  };
  for (const [target, queue] of [[exchange, behind], ['', once]]) {
    for (const [identity, body] of [['a', 'm0'], ['b', 'm1'], ['a', 'again'], [null, 'm2'], [null, 'm3']]) {
      publish(target, queue, identity, body);
    }
    await channel.waitForConfirms(); // a nack would reject it
    equal(await drain(channel, queue), numbered(0, 3));
    publish(target, queue, 'a', 'again');
    await channel.waitForConfirms();
    equal(await drain(channel, queue), []);
  }
}

async function consistentHash(run) {
  const connection = await run.connect();
  const channel = await openChannel(connection);
  const exchange = run.exchange('x');
  await channel.assertExchange(exchange, 'x-consistent-hash');
  const [light, heavy] = [await run.declared(channel, 'light'), await run.declared(channel, 'heavy')];
  await channel.bindQueue(light, exchange, '1');
  await channel.bindQueue(heavy, exchange, '3');
  const keys = [...numbered(0, 199), ...numbered(0, 199)];
  for (const key of keys) channel.publish(exchange, key, Buffer.from(key));
  await until(async () => (await count(channel, light)) + (await count(channel, heavy)) === 400);
  const came = [await drain(channel, light), await drain(channel, heavy)];
  equal(came.flat().sort(), keys.sort());
  for (const got of came) equal(got.slice(0, got.length / 2), got.slice(got.length / 2));
  equal(came[0].length > 0 && came[0].length < came[1].length, true);
  await channelError(connection, 406, (ch) => ch.bindQueue(light, exchange, 'heavy'));
}

async function permissions(run) {
  const restricted = process.env.RESTRICTED_URL;
  if (!restricted) throw new Skip('RESTRICTED_URL is not set');
  const channel = await run.channel();
  const [other, exchange] = [await run.declared(channel, 'other'), run.exchange('x')];
  await channel.assertExchange(exchange, 'fanout');
  const limited = await run.connect(restricted);
  const ownChannel = await openChannel(limited);
  const own = await run.declared(ownChannel, 'own');
  sendWith(ownChannel, own, 'mine');
  equal(await (await Inbox.on(ownChannel, own, { noAck: true })).bodies(1), ['mine']);
  for (const action of [
    (ch) => ch.assertQueue(`${other}.new`),
    (ch) => ch.deleteQueue(other),
    (ch) => ch.assertExchange(`${exchange}.new`, 'fanout'),
    (ch) => ch.publish(exchange, '', Buffer.from('x')),
    (ch) => ch.bindQueue(own, exchange, ''),
    (ch) => ch.bindQueue(other, exchange, ''),
    (ch) => ch.get(other),
    (ch) => Inbox.on(ch, other),
    (ch) => ch.purgeQueue(other),
  ]) {
    await channelError(limited, 403, action);
  }
  const closed = new URL(restricted);
  closed.pathname = '/interop-closed';
  const refusal = await run.connect(closed.href).then(() => 'connected', (error) => error.message);
  equal(refusal.includes('ConnectionClose') || refusal, true); // the library does not show the code
}

module.exports = {
  rpc, 'dead-letter': deadLetter, ttl, limits, priorities, sac, quorum, 'consumer-timeout': consumerTimeout, delayed,
  deduplication, 'consistent-hash': consistentHash, permissions,
};
