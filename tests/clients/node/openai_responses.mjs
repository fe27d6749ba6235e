// npm `openai`, the Responses API.
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { answerOf, CLOCK, GATEWAY, obey, WEATHER } from "./obeying.mjs";

const Parcel = z.object({ sender: z.string(), kilograms: z.number(), stamps: z.array(z.string()) });
const TOOLS = [
  { type: "function", name: "weather", parameters: WEATHER, strict: true },
  { type: "function", name: "clock", parameters: CLOCK, strict: true },
];
const client = ({ key, retries }) => new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: key, maxRetries: retries });
const counted = (usage) => ({ input: usage.input_tokens, output: usage.output_tokens });

/** One turn after another until no tool is called; `ask` asks once. */
async function rounds(order, ask) {
  const called = [];
  const input = [{ role: "user", content: order.said }];
  for (;;) {
    const answer = await ask({ model: order.model, input, tools: TOOLS });
    const calls = answer.output.filter((item) => item.type === "function_call");
    if (!calls.length) return { text: answer.output_text, called };
    input.push(...answer.output.map(({ parsed_arguments, ...item }) => item));
    for (const call of calls) {
      const args = JSON.parse(call.arguments);
      called.push([call.name, args]);
      input.push({ type: "function_call_output", call_id: call.call_id, output: answerOf(call.name, args) });
    }
  }
}

await obey({
  async chat(order) {
    const answer = await client(order).responses.create({ model: order.model, input: order.said });
    return { text: answer.output_text, finish: answer.status, ...counted(answer.usage) };
  },
  async stream(order) {
    const stream = client(order).responses.stream({ model: order.model, input: order.said });
    const pieces = [];
    for await (const event of stream) {
      if (event.type === "error" || event.type === "response.failed") throw new Error(JSON.stringify(event));
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
    }
    const final = await stream.finalResponse();
    return { pieces, text: final.output_text, finish: final.status, ...counted(final.usage) };
  },
  async tools(order) {
    return rounds(order, (body) => client(order).responses.create(body));
  },
  async tools_streamed(order) {
    return rounds(order, (body) => client(order).responses.stream(body).finalResponse());
  },
  async structured(order) {
    const answer = await client(order).responses.parse({
      model: order.model,
      input: order.said,
      text: { format: zodTextFormat(Parcel, "parcel") },
    });
    return { value: answer.output_parsed };
  },
  async structured_streamed(order) {
    const stream = client(order).responses.stream({
      model: order.model,
      input: order.said,
      text: { format: zodTextFormat(Parcel, "parcel") },
    });
    return { value: (await stream.finalResponse()).output_parsed };
  },
  async kept(order) {
    const first = await client(order).responses.create({ model: order.model, input: "I have a sack." });
    const second = await client(order).responses.create({
      model: order.model,
      input: order.said,
      previous_response_id: first.id,
    });
    return { text: second.output_text, ...counted(second.usage) };
  },
  async vision(order) {
    const content = [
      { type: "input_text", text: order.said },
      { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${order.image}` },
    ];
    const answer = await client(order).responses.create({ model: order.model, input: [{ role: "user", content }] });
    return { input: answer.usage.input_tokens };
  },
  async abort(order) {
    const stream = await client(order).responses.create({ model: order.model, input: order.said, stream: true });
    for await (const event of stream) if (event.type === "response.output_text.delta") break;
    return { aborted: stream.controller.signal.aborted };
  },
});
