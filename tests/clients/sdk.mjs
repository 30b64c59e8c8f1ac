// Asks a model's server through the SDK of a vendor, as often as it is told, and prints what the SDK gives back.
//
//   node sdk.mjs <openai|anthropic>
//
// Each line of standard input is {"origin","ask":{…the request's body…},"abort_after":null or a number of words}.
// Printed is {"type":"text","data"} for each piece of the answer, then one of {"type":"end","data":reason, or "" where
// none was given}, {"type":"error","data":message,"status"} and {"type":"aborted"}. It ends when standard input does.

import { createInterface } from 'node:readline';

const [name] = process.argv.slice(2);
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const common = { apiKey: 'none', maxRetries: 0 };

const sdks = {
  async openai() {
    const { default: OpenAI } = await import('openai');
    return {
      client: (origin) => new OpenAI({ ...common, baseURL: `${origin}/v1` }),
      open: (client, ask) => client.chat.completions.create({ ...ask, stream: true }),
      read: ({ choices: [choice] }) => [choice.delta.content, choice.finish_reason],
    };
  },

  async anthropic() {
    const { default: Anthropic } = await import('@anthropic-ai/sdk');
    return {
      client: (origin) => new Anthropic({ ...common, baseURL: origin }),
      open: (client, ask) => client.messages.create({ ...ask, stream: true }),
      read: ({ delta }) => [delta?.text, delta?.stop_reason],
    };
  },
};

if (!Object.hasOwn(sdks, name)) {
  process.stderr.write(`usage: sdk.mjs <${Object.keys(sdks).join('|')}>\n`);
  process.exit(1);
}
const { client, open, read } = await sdks[name]();

async function answer({ origin, ask, abort_after: abortAfter }) {
  const stream = await open(client(origin), ask);
  let words = 0;
  let reason = '';
  for await (const event of stream) {
    const [text, ends] = read(event);
    reason = ends ?? reason;
    if (!text) continue;
    print({ type: 'text', data: text });
    words += 1;
    if (words === abortAfter) {
      stream.controller.abort();
      return print({ type: 'aborted' });
    }
  }
  print({ type: 'end', data: reason });
}

for await (const line of createInterface({ input: process.stdin })) {
  await answer(JSON.parse(line)).catch((error) =>
    print({ type: 'error', data: `${error.name}: ${error.message}`, status: error.status ?? null }),
  );
}
process.exit(0);
