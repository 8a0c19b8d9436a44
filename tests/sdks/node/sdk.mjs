// Publishes commands and reads audit events by CloudEvents' JavaScript SDK. See ../README.md.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { CloudEvent, Kafka as Binding } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const [verb, brokers, topic, count] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "sdk-node", brokers: brokers.split(","), logLevel: logLevel.ERROR });

// The SDK names every attribute, also those that are not set; kafkajs refuses a header without a value.
function definedOnly(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
}

async function publish() {
  const producer = kafka.producer();
  await producer.connect();
  for await (const line of createInterface({ input: process.stdin })) {
    const { mode, key, data, ...attributes } = JSON.parse(line);
    if (mode === "typed") attributes.datacontenttype = "application/json";
    const event = new CloudEvent({
      ...attributes,
      partitionkey: key,
      data: mode === "structured" ? data : JSON.stringify(data),
    });
    const { headers, ...message } = mode === "structured" ? Binding.structured(event) : Binding.binary(event);
    await producer.send({ topic, messages: [{ ...message, headers: definedOnly(headers) }] });
  }
  await producer.disconnect();
}

// kafkajs gives bytes, the SDK wants text.
function textHeaders(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value?.toString()]));
}

async function read() {
  // kafkajs reads committed records unless told otherwise.
  const consumer = kafka.consumer({ groupId: `sdk-node-${randomUUID()}` });
  let left = Number(count);
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      eachMessage: async ({ message }) => {
        const event = Binding.toEvent({ ...message, headers: textHeaders(message.headers) });
        const { id, source, type, subject, time, causationid, datacontenttype } = event;
        const data = Buffer.from(event.data).toString("base64");
        if (left > 0) console.log(JSON.stringify({ id, source, type, subject, time, causationid, datacontenttype, data }));
        left -= 1;
        if (left === 0) resolve();
      },
    });
  });
  await consumer.disconnect();
}

await (verb === "publish" ? publish() : read());
