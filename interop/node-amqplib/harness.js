'use strict';
// Runs scenarios one by one: connections, names, clean-up, time limit, one line of result each.

const { deepStrictEqual } = require('node:assert');
const { exec } = require('node:child_process');
const { promisify } = require('node:util');
const amqp = require('amqplib');

const AMQP_URL = process.env.AMQP_URL || 'amqp://guest:guest@127.0.0.1:5672/%2F';
const TIMEOUT = 20000;
const PREFIX = `interop.amqplib.${process.pid}.${Date.now()}`;

/** The library or the setting cannot run this scenario. */
class Skip extends Error {}

/** One scenario's connections and names; everything is closed and deleted afterwards. */
class Run {
  constructor(scenario) {
    this.prefix = `${PREFIX}.${scenario}`;
    this.connections = [];
    this.queues = [];
    this.exchanges = [];
  }

  async connect(url = AMQP_URL, options = {}) {
    const connection = await amqp.connect(url, options);
    connection.on('error', () => {}); // asserted through 'close' or a rejected call
    this.connections.push(connection);
    return connection;
  }

  async channel() {
    return openChannel(await this.connect());
  }

  async confirmChannel() {
    return quiet(await (await this.connect()).createConfirmChannel());
  }

  queue(name) {
    this.queues.push(`${this.prefix}.${name}`);
    return this.queues.at(-1);
  }

  exchange(name) {
    this.exchanges.push(`${this.prefix}.${name}`);
    return this.exchanges.at(-1);
  }

  async declared(channel, name = 'q', options = {}) {
    return (await channel.assertQueue(this.queue(name), options)).queue;
  }

  async clean() {
    for (const connection of this.connections) await connection.close().catch(() => {});
    const connection = await amqp.connect(AMQP_URL);
    for (const queue of this.queues) await (await connection.createChannel()).deleteQueue(queue);
    for (const exchange of this.exchanges) await (await connection.createChannel()).deleteExchange(exchange);
    await connection.close();
  }
}

function quiet(channel) {
  channel.on('error', () => {}); // asserted through 'close' or a rejected call
  return channel;
}

async function openChannel(connection) {
  return quiet(await connection.createChannel());
}

/** A consumer that collects its deliveries. */
class Inbox {
  static async on(channel, queue, options = {}) {
    const inbox = new Inbox();
    Object.assign(inbox, { channel, got: [], taken: 0, cancelled: false });
    inbox.tag = (await channel.consume(queue, (message) => inbox.onMessage(message), options)).consumerTag;
    return inbox;
  }

  onMessage(message) {
    if (message === null) this.cancelled = true;
    else this.got.push(message);
  }

  /** The next `count` deliveries. */
  async take(count) {
    await until(() => this.got.length >= this.taken + count);
    this.taken += count;
    return this.got.slice(this.taken - count, this.taken);
  }

  async bodies(count) {
    return texts(await this.take(count));
  }
}

function texts(messages) {
  return messages.map((message) => message.content.toString());
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(done, ms = 8000) {
  const deadline = Date.now() + ms;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error('waited in vain');
    await sleep(10);
  }
}

function equal(got, wanted) {
  deepStrictEqual(got, wanted);
}

async function count(channel, queue) {
  return (await channel.checkQueue(queue)).messageCount;
}

async function awaitCount(channel, queue, wanted) {
  await until(async () => (await count(channel, queue)) === wanted);
}

async function send(channel, queue, bodies, options) {
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), options);
  await awaitCount(channel, queue, bodies.length);
}

function numbered(first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => `m${first + i}`);
}

async function drain(channel, queue) {
  const bodies = [];
  for (let message; (message = await channel.get(queue, { noAck: true })); ) bodies.push(message.content.toString());
  return bodies;
}

/** `action` closes its channel with `code`, and only that channel. */
async function channelError(connection, code, action) {
  const channel = await openChannel(connection);
  const closed = new Promise((resolve) => channel.once('close', resolve));
  const error = new Promise((resolve) => channel.once('error', resolve));
  await Promise.resolve(action(channel)).catch(() => {}); // the channel's error is asserted
  equal((await error).code, code);
  await closed;
  await (await connection.createChannel()).close();
}

async function connectionError(run, code, action) {
  const connection = await run.connect();
  const error = new Promise((resolve) => connection.once('error', resolve));
  await Promise.resolve(action(await openChannel(connection))).catch(() => {});
  equal((await error).code, code);
}

function needsRestart() {
  if (!process.env.RESTART_BROKER) throw new Skip('RESTART_BROKER is not set');
}

async function restartBroker() {
  await promisify(exec)(process.env.RESTART_BROKER, { timeout: TIMEOUT });
}

async function withinTimeout(action) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('not done after 20 s')), TIMEOUT);
  });
  try {
    await Promise.race([action(), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runScenario(scenarios, scenario) {
  const run = new Run(scenario);
  let result = 'ok';
  try {
    await withinTimeout(() => scenarios[scenario](run));
  } catch (error) {
    const [, file, line] = /(scenarios\w*\.js):(\d+)/.exec(error.stack) ?? ['', 'line', '?'];
    result = error instanceof Skip ? `skip ${error.message}` : `FAIL ${file} ${line}: ${error.message}`;
  }
  try {
    await withinTimeout(() => run.clean());
  } catch (error) {
    if (result === 'ok') result = `FAIL cleaning up: ${error.message}`;
  }
  return result.replace(/\s+/g, ' ').slice(0, 300);
}

async function main(scenarios) {
  let failed = false;
  const chosen = process.argv.slice(2);
  for (const scenario of chosen.length ? chosen : Object.keys(scenarios)) {
    const result = await runScenario(scenarios, scenario);
    failed ||= result.startsWith('FAIL');
    console.log(scenario, result);
  }
  process.exit(failed ? 1 : 0); // what a timed-out scenario left open must not hold the exit
}

module.exports = {
  AMQP_URL, Inbox, Skip, awaitCount, channelError, connectionError, count, drain, equal, main, needsRestart, numbered,
  openChannel, restartBroker, send, sleep, texts, until,
};
