// npm `@anthropic-ai/sdk`.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { answerOf, GATEWAY, obey } from "./obeying.mjs";

const Parcel = z.object({ sender: z.string(), kilograms: z.number(), stamps: z.array(z.string()) });
const tools = (called) =>
  [
    ["weather", z.object({ city: z.string() })],
    ["clock", z.object({ zone: z.string() })],
  ].map(([name, inputSchema]) =>
    betaZodTool({
      name,
      description: `The ${name}.`,
      inputSchema,
      run: (args) => {
        called.push([name, args]);
        return answerOf(name, args);
      },
    }),
  );

const client = ({ key, retries }) => new Anthropic({ baseURL: GATEWAY, apiKey: key, maxRetries: retries });
const body = (order) => ({
  model: order.model,
  max_tokens: 2000,
  messages: [{ role: "user", content: order.said }],
});
const textOf = (message) =>
  message.content
    .filter((block) => block.type === "text")
    .map((block) => block.text)
    .join("");
const counted = (usage) => ({ input: usage.input_tokens, output: usage.output_tokens });

await obey({
  async chat(order) {
    const answer = await client(order).messages.create(body(order));
    return { text: textOf(answer), finish: answer.stop_reason, ...counted(answer.usage) };
  },
  async stream(order) {
    const stream = client(order).messages.stream(body(order));
    const pieces = [];
    stream.on("text", (piece) => pieces.push(piece));
    const final = await stream.finalMessage();
    return { pieces, text: textOf(final), finish: final.stop_reason, ...counted(final.usage) };
  },
  async tools(order) {
    const called = [];
    const final = await client(order).beta.messages.toolRunner({ ...body(order), tools: tools(called) });
    return { text: textOf(final), called };
  },
  async tools_streamed(order) {
    const called = [];
    const runner = client(order).beta.messages.toolRunner({ ...body(order), tools: tools(called), stream: true });
    let final;
    for await (const stream of runner) final = await stream.finalMessage();
    return { text: textOf(final), called };
  },
  async structured(order) {
    const answer = await client(order).messages.parse({
      ...body(order),
      output_config: { format: zodOutputFormat(Parcel) },
    });
    return { value: answer.parsed_output };
  },
  async structured_streamed(order) {
    const stream = client(order).messages.stream({ ...body(order), output_config: { format: zodOutputFormat(Parcel) } });
    return { value: (await stream.finalMessage()).parsed_output };
  },
  async models(order) {
    const names = [];
    for await (const model of client(order).models.list()) names.push(model.id);
    return { names };
  },
  async count(order) {
    const { max_tokens, ...asked } = body(order);
    return { input: (await client(order).messages.countTokens(asked)).input_tokens };
  },
  async vision(order) {
    const content = [
      { type: "text", text: order.said },
      { type: "image", source: { type: "base64", media_type: "image/png", data: order.image } },
    ];
    const answer = await client(order).messages.create({ ...body(order), messages: [{ role: "user", content }] });
    return { input: answer.usage.input_tokens };
  },
  // Thinks, calls a tool, and is shown its own thoughts again, signatures and all.
  async thinking(order) {
    const thinking = { type: "enabled", budget_tokens: 1024, display: "summarized" };
    const tool = { name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } };
    const asked = { ...body(order), thinking, tools: [tool] };
    const first = await client(order).messages.stream(asked).finalMessage();
    const call = first.content.find((block) => block.type === "tool_use");
    const result = { type: "tool_result", tool_use_id: call.id, content: answerOf("weather", call.input) };
    const messages = [
      ...asked.messages,
      { role: "assistant", content: first.content },
      { role: "user", content: [result] },
    ];
    const second = await client(order).messages.create({ ...asked, messages });
    const thought = first.content.find((block) => block.type === "thinking");
    return { thought: thought?.thinking ?? "", text: textOf(second) };
  },
  async abort(order) {
    const stream = client(order).messages.stream(body(order));
    for await (const event of stream) if (event.type === "content_block_delta") break;
    return { aborted: stream.controller.signal.aborted };
  },
});
