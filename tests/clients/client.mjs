// Runs one SSE client from npm and prints what it reports, one JSON object per line.
//
//   node client.mjs <eventsource|undici|eventsource-parser|fetch-event-source> <url>
//       [--types a,b] [--until end] [--timeout 60] [--header 'Name: value']... [--parent-pipe]
//
// {"open":true} for every opened connection, {"type","data","id"} for every event. Exit code 0
// once the --until event arrived, 3 on timeout, 1 on any other failure.
// --parent-pipe: end when stdin closes, so that nothing outlives the program that started this.

import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    types: { type: 'string', default: '' },
    until: { type: 'string', default: 'end' },
    timeout: { type: 'string', default: '60' },
    header: { type: 'string', multiple: true, default: [] },
    'parent-pipe': { type: 'boolean', default: false },
  },
});
const [name, url] = positionals;
const until = values.until;
const types = new Set(['message', ...values.types.split(',').filter(Boolean), until]);
const headers = Object.fromEntries(
  values.header.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  }),
);

function fail(message) {
  process.stderr.write(`${name}: ${message}\n`);
  process.exit(1);
}

let leaving = false;
const print = (value) => leaving || process.stdout.write(`${JSON.stringify(value)}\n`);
const opened = () => print({ open: true });

function received(type, data, id) {
  print({ type, data, id });
  if (type === until) {
    leaving = true;
    // A full pipe takes its time.
    process.stdout.write('', () => process.exit(0));
  }
}

setTimeout(() => {
  process.stderr.write(`${name}: no "${until}" event within ${values.timeout} s\n`);
  process.exit(3);
}, Number(values.timeout) * 1000);
if (values['parent-pipe']) process.stdin.on('close', () => process.exit(1)).resume();
process.on('uncaughtException', (error) => fail(error.stack ?? error));
process.on('unhandledRejection', (error) => fail(error?.stack ?? error));

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function listen(source) {
  source.addEventListener('open', opened);
  for (const type of types) {
    source.addEventListener(type, (event) => received(event.type, event.data, event.lastEventId));
  }
  source.addEventListener('error', (event) => {
    // Any other state means that the client is going to reconnect by itself.
    if (source.readyState === 2) fail(`closed for good: ${event.message ?? 'no reason given'}`);
  });
}

const clients = {
  async eventsource() {
    const { EventSource } = await import('eventsource');
    listen(
      new EventSource(url, {
        fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
      }),
    );
  },

  async undici() {
    const { Agent, EventSource } = await import('undici');
    // This EventSource has no option for request headers; a dispatcher can add them.
    const dispatcher = new Agent().compose(
      (dispatch) => (options, handler) =>
        dispatch({ ...options, headers: { ...options.headers, ...headers } }, handler),
    );
    listen(new EventSource(url, { node: { dispatcher } }));
  },

  // A parser only: the loop around it is the one its README suggests.
  async 'eventsource-parser'() {
    const { createParser } = await import('eventsource-parser');
    let lastEventId = '';
    let retry = 3000;
    for (;;) {
      try {
        const response = await fetch(url, {
          headers: {
            accept: 'text/event-stream',
            ...(lastEventId && { 'last-event-id': Buffer.from(lastEventId).toString('latin1') }),
            ...headers,
          },
        });
        const type = response.headers.get('content-type') ?? '';
        if (response.status !== 200 || !type.startsWith('text/event-stream')) {
          fail(`closed for good: status ${response.status}, content type "${type}"`);
        }
        opened();
        const parser = createParser({
          onId: (id) => (lastEventId = id),
          onRetry: (ms) => (retry = ms),
          onEvent: (event) => received(event.event || 'message', event.data, lastEventId),
        });
        for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
          parser.feed(text);
        }
      } catch (error) {
        process.stderr.write(`${name}: ${error.cause ?? error}\n`);
      }
      await sleep(retry);
    }
  },

  async 'fetch-event-source'() {
    // Written for browsers: it uses window's timers and asks the document whether it is visible.
    globalThis.window = globalThis;
    globalThis.document = {
      hidden: false,
      visibilityState: 'visible',
      addEventListener() {},
      removeEventListener() {},
    };
    const { fetchEventSource } = await import('@microsoft/fetch-event-source');
    class FatalError extends Error {}
    await fetchEventSource(url, {
      fetch,
      headers,
      openWhenHidden: true,
      async onopen(response) {
        const type = response.headers.get('content-type') ?? '';
        if (response.status !== 200 || !type.startsWith('text/event-stream')) {
          throw new FatalError(`status ${response.status}, content type "${type}"`);
        }
        opened();
      },
      onmessage: (message) => received(message.event || 'message', message.data, message.id),
      onclose() {
        // A clean end resolves by default; throwing is the documented way to reconnect.
        throw new Error('the server ended the stream');
      },
      onerror(error) {
        if (error instanceof FatalError) throw error;
        // Returning nothing retries after the last `retry` value.
      },
    }).catch((error) => fail(`closed for good: ${error.message}`));
  },
};

if (!Object.hasOwn(clients, name) || !url) {
  process.stderr.write(`usage: client.mjs <${Object.keys(clients).join('|')}> <url> [options]\n`);
  process.exit(1);
}
await clients[name]();
