// Obeys orders read from standard input, one JSON object a line, and answers each with one line: what came of it, or
// which error the client raised. The order says scenario, model, question, key and how often the client may retry.
import readline from "node:readline";

export const GATEWAY = process.env.GATEWAY;

export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const CLOCK = {
  type: "object",
  properties: { zone: { type: "string" } },
  required: ["zone"],
  additionalProperties: false,
};
export const PARCEL = {
  type: "object",
  properties: {
    sender: { type: "string" },
    kilograms: { type: "number" },
    stamps: { type: "array", items: { type: "string" } },
  },
  required: ["sender", "kilograms", "stamps"],
  additionalProperties: false,
};

/** What the tools of every test answer. */
export function answerOf(name, args) {
  return name === "weather" ? `rain in ${args.city}` : `noon in ${args.zone}`;
}

/** The fields of an error that a caller decides by. */
function raised(error) {
  const cause = error.lastError ?? error;
  const headers = cause.headers ?? cause.responseHeaders ?? {};
  return {
    name: error.constructor?.name,
    cause: cause.constructor?.name,
    status: cause.status ?? cause.statusCode ?? null,
    code: cause.code ?? null,
    retry_after: (headers.get ? headers.get("retry-after") : headers["retry-after"]) ?? null,
    message: String(error.message ?? error),
    stack: String(error.stack ?? ""),
  };
}

// Standard output is for answers alone; some clients print warnings there.
console.log = console.info = console.error;

/** Obey until the input ends. `scenarios` maps names to async functions of an order. */
export async function obey(scenarios) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let answer;
    try {
      answer = { facts: await scenarios[order.scenario](order) };
    } catch (error) {
      answer = { raised: raised(error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}
