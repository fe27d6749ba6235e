// npm `openai`, chat completions.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { answerOf, CLOCK, GATEWAY, obey, WEATHER } from "./obeying.mjs";

const Parcel = z.object({ sender: z.string(), kilograms: z.number(), stamps: z.array(z.string()) });
const tools = (called) =>
  [
    ["weather", WEATHER],
    ["clock", CLOCK],
  ].map(([name, parameters]) => ({
    type: "function",
    function: {
      name,
      parameters,
      parse: JSON.parse,
      function: (args) => {
        called.push([name, args]);
        return answerOf(name, args);
      },
    },
  }));

const client = ({ key, retries }) => new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: key, maxRetries: retries });
const messages = (order) => [{ role: "user", content: order.said }];
const counted = (usage) => ({ input: usage.prompt_tokens, output: usage.completion_tokens });

await obey({
  async chat(order) {
    const answer = await client(order).chat.completions.create({ model: order.model, messages: messages(order) });
    const [choice] = answer.choices;
    return { text: choice.message.content, finish: choice.finish_reason, ...counted(answer.usage) };
  },
  async stream(order) {
    const stream = await client(order).chat.completions.create({
      model: order.model,
      messages: messages(order),
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces = [];
    let usage, finish;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    return { pieces, text: pieces.join(""), finish, ...counted(usage) };
  },
  async tools(order) {
    const called = [];
    const runner = client(order).chat.completions.runTools({
      model: order.model,
      messages: messages(order),
      tools: tools(called),
    });
    return { text: await runner.finalContent(), called };
  },
  async tools_streamed(order) {
    const called = [];
    const runner = client(order).chat.completions.runTools({
      model: order.model,
      messages: messages(order),
      tools: tools(called),
      stream: true,
    });
    return { text: await runner.finalContent(), called };
  },
  async structured(order) {
    const answer = await client(order).chat.completions.parse({
      model: order.model,
      messages: messages(order),
      response_format: zodResponseFormat(Parcel, "parcel"),
    });
    return { value: answer.choices[0].message.parsed };
  },
  async structured_streamed(order) {
    const stream = client(order).chat.completions.stream({
      model: order.model,
      messages: messages(order),
      response_format: zodResponseFormat(Parcel, "parcel"),
    });
    return { value: (await stream.finalChatCompletion()).choices[0].message.parsed };
  },
  async embed(order) {
    const answer = await client(order).embeddings.create({ model: order.model, input: [order.said, "salt"] });
    return { vectors: answer.data.map((one) => one.embedding), input: answer.usage.prompt_tokens };
  },
  async models(order) {
    const names = [];
    for await (const model of client(order).models.list()) names.push(model.id);
    return { names };
  },
  async vision(order) {
    const content = [
      { type: "text", text: order.said },
      { type: "image_url", image_url: { url: `data:image/png;base64,${order.image}` } },
    ];
    const answer = await client(order).chat.completions.create({
      model: order.model,
      messages: [{ role: "user", content }],
    });
    return { input: answer.usage.prompt_tokens };
  },
  async abort(order) {
    const stream = await client(order).chat.completions.create({
      model: order.model,
      messages: messages(order),
      stream: true,
    });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    return { aborted: stream.controller.signal.aborted };
  },
});
