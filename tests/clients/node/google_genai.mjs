// npm `@google/genai`.
import { GoogleGenAI } from "@google/genai";
import { answerOf, CLOCK, GATEWAY, obey, PARCEL, WEATHER } from "./obeying.mjs";

const client = ({ key, retries }) =>
  new GoogleGenAI({
    apiKey: key,
    httpOptions: { baseUrl: GATEWAY, retryOptions: { attempts: retries + 1 } },
  });
const DECLARED = [
  { name: "weather", description: "The weather.", parametersJsonSchema: WEATHER },
  { name: "clock", description: "The time.", parametersJsonSchema: CLOCK },
];
const counted = (usage) => ({ input: usage.promptTokenCount, output: usage.candidatesTokenCount });

async function rounds(order, ask) {
  const called = [];
  const contents = [{ role: "user", parts: [{ text: order.said }] }];
  for (;;) {
    const { parts, calls, text } = await ask({
      model: order.model,
      contents,
      config: { tools: [{ functionDeclarations: DECLARED }] },
    });
    if (!calls.length) return { text, called };
    contents.push({ role: "model", parts });
    contents.push({
      role: "user",
      parts: calls.map((call) => {
        called.push([call.name, call.args]);
        const response = { result: answerOf(call.name, call.args) };
        return { functionResponse: { id: call.id, name: call.name, response } };
      }),
    });
  }
}

await obey({
  async chat(order) {
    const answer = await client(order).models.generateContent({ model: order.model, contents: order.said });
    return { text: answer.text, finish: answer.candidates[0].finishReason, ...counted(answer.usageMetadata) };
  },
  async stream(order) {
    const stream = await client(order).models.generateContentStream({ model: order.model, contents: order.said });
    const pieces = [];
    let usage, finish;
    for await (const chunk of stream) {
      if (chunk.text) pieces.push(chunk.text);
      usage = chunk.usageMetadata ?? usage;
      finish = chunk.candidates?.[0]?.finishReason ?? finish;
    }
    return { pieces, text: pieces.join(""), finish, ...counted(usage) };
  },
  async tools(order) {
    return rounds(order, async (body) => {
      const answer = await client(order).models.generateContent(body);
      const parts = answer.candidates[0].content.parts;
      return { parts, calls: answer.functionCalls ?? [], text: answer.text };
    });
  },
  async tools_streamed(order) {
    return rounds(order, async (body) => {
      const parts = [];
      for await (const chunk of await client(order).models.generateContentStream(body)) {
        parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
      }
      const calls = parts.filter((part) => part.functionCall).map((part) => part.functionCall);
      return { parts, calls, text: parts.map((part) => part.text ?? "").join("") };
    });
  },
  async structured(order) {
    const answer = await client(order).models.generateContent({
      model: order.model,
      contents: order.said,
      config: { responseMimeType: "application/json", responseJsonSchema: PARCEL },
    });
    return { value: JSON.parse(answer.text) };
  },
  async embed(order) {
    const answer = await client(order).models.embedContent({ model: order.model, contents: [order.said, "salt"] });
    return { vectors: answer.embeddings.map((one) => one.values) };
  },
  async models(order) {
    const names = [];
    for await (const model of await client(order).models.list()) names.push(model.name.replace(/^models\//, ""));
    return { names };
  },
  async count(order) {
    const answer = await client(order).models.countTokens({ model: order.model, contents: order.said });
    return { input: answer.totalTokens };
  },
  async vision(order) {
    const parts = [{ text: order.said }, { inlineData: { mimeType: "image/png", data: order.image } }];
    const answer = await client(order).models.generateContent({
      model: order.model,
      contents: [{ role: "user", parts }],
    });
    return { input: answer.usageMetadata.promptTokenCount };
  },
  async abort(order) {
    const controller = new AbortController();
    const stream = await client(order).models.generateContentStream({
      model: order.model,
      contents: order.said,
      config: { abortSignal: controller.signal },
    });
    for await (const chunk of stream) if (chunk.text) break;
    controller.abort();
    return { aborted: true };
  },
});
