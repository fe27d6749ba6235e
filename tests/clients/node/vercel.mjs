// Vercel's AI SDK: the order's `through` says which of its provider packages speaks.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { answerOf, GATEWAY, obey } from "./obeying.mjs";

const Parcel = z.object({ sender: z.string(), kilograms: z.number(), stamps: z.array(z.string()) });
const PROVIDERS = {
  responses: (apiKey) => createOpenAI({ baseURL: `${GATEWAY}/v1`, apiKey }),
  chat: (apiKey) => createOpenAI({ baseURL: `${GATEWAY}/v1`, apiKey }).chat,
  compatible: (apiKey) =>
    createOpenAICompatible({
      name: "steelyard",
      baseURL: `${GATEWAY}/v1`,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }),
  anthropic: (apiKey) => createAnthropic({ baseURL: `${GATEWAY}/v1`, apiKey }),
  google: (apiKey) => createGoogleGenerativeAI({ baseURL: `${GATEWAY}/v1beta`, apiKey }),
};
const EMBEDDERS = {
  responses: (apiKey, model) => PROVIDERS.responses(apiKey).embeddingModel(model),
  compatible: (apiKey, model) => PROVIDERS.compatible(apiKey).embeddingModel(model),
  google: (apiKey, model) => PROVIDERS.google(apiKey).embeddingModel(model),
};

const asked = (order) => ({
  model: PROVIDERS[order.through](order.key)(order.model),
  prompt: order.said,
  maxRetries: order.retries,
});
const counted = (usage) => ({ input: usage.inputTokens, output: usage.outputTokens });

function tools(called) {
  const made = (name, inputSchema) =>
    tool({
      description: `The ${name}.`,
      inputSchema,
      execute: async (args) => {
        called.push([name, args]);
        return answerOf(name, args);
      },
    });
  return { weather: made("weather", z.object({ city: z.string() })), clock: made("clock", z.object({ zone: z.string() })) };
}

/** Read a stream to its end; an error part is the error. */
async function read(result) {
  const pieces = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") pieces.push(part.text);
  }
  return pieces;
}
const quiet = { onError() {} };

await obey({
  async chat(order) {
    const answer = await generateText(asked(order));
    return { text: answer.text, finish: answer.finishReason, ...counted(answer.usage) };
  },
  async stream(order) {
    const result = streamText({ ...asked(order), ...quiet });
    const pieces = await read(result);
    return { pieces, text: await result.text, finish: await result.finishReason, ...counted(await result.usage) };
  },
  async tools(order) {
    const called = [];
    const answer = await generateText({ ...asked(order), tools: tools(called), stopWhen: stepCountIs(3) });
    return { text: answer.text, called };
  },
  async tools_streamed(order) {
    const called = [];
    const result = streamText({ ...asked(order), ...quiet, tools: tools(called), stopWhen: stepCountIs(3) });
    await read(result);
    return { text: await result.text, called };
  },
  async structured(order) {
    const answer = await generateText({ ...asked(order), output: Output.object({ schema: Parcel }) });
    return { value: answer.output };
  },
  async structured_streamed(order) {
    const result = streamText({ ...asked(order), ...quiet, output: Output.object({ schema: Parcel }) });
    await read(result);
    return { value: await result.output };
  },
  async embed(order) {
    const model = EMBEDDERS[order.through](order.key, order.model);
    const answer = await embedMany({ model, values: [order.said, "salt"], maxRetries: order.retries });
    return { vectors: answer.embeddings };
  },
  async vision(order) {
    const { prompt, ...rest } = asked(order);
    const content = [
      { type: "text", text: prompt },
      { type: "image", image: order.image, mediaType: "image/png" },
    ];
    return counted((await generateText({ ...rest, messages: [{ role: "user", content }] })).usage);
  },
  async thinking(order) {
    const providerOptions = {
      openai: { reasoningEffort: "low", reasoningSummary: "auto", forceReasoning: true },
      steelyard: { reasoningEffort: "low" },
      anthropic: { thinking: { type: "enabled", budgetTokens: 1024, display: "summarized" } },
      google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } },
    };
    const result = streamText({
      ...asked(order),
      ...quiet,
      providerOptions,
      tools: tools([]),
      stopWhen: stepCountIs(3),
    });
    let thought = "";
    for await (const part of result.fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "reasoning-delta") thought += part.text;
    }
    return { thought, text: await result.text };
  },
  async abort(order) {
    const controller = new AbortController();
    const result = streamText({ ...asked(order), ...quiet, abortSignal: controller.signal });
    for await (const part of result.fullStream) if (part.type === "text-delta") break;
    controller.abort();
    return { aborted: true };
  },
});
