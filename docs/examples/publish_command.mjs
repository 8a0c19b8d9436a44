// Publishes one command: an API key is issued. Needs: npm install kafkajs @msgpack/msgpack
//
//   BOOTSTRAP_SERVERS=localhost:9092 TOPIC=catalyst.key.commands node publish_command.mjs

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { encode } from "@msgpack/msgpack";
import { Kafka, logLevel } from "kafkajs";

const secret = randomBytes(32).toString("base64url"); // shown to the user once; only its hash travels
const keyId = `key_${randomUUID()}`;
const data = {
  id: keyId,
  hash: createHash("sha256").update(secret).digest("hex"),
  owner: { kind: "user", id: "user_42" },
  name: "CI pipeline",
  scopes: ["orders:read", "orders:write"],
};
const headers = {
  ce_specversion: "1.0",
  // Yours to choose, and what makes the command take effect once: the same id and source again,
  // after a timeout say, change nothing. Best a UUIDv7 or a ULID; remember it with your own data.
  ce_id: randomUUID(),
  ce_source: "billing-service",
  ce_type: "dev.catalyst.key.issue.v1",
  ce_time: new Date().toISOString(),
  "content-type": "application/vnd.msgpack",
};

const kafka = new Kafka({
  clientId: "billing-service",
  brokers: (process.env.BOOTSTRAP_SERVERS ?? "localhost:9092").split(","),
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({ idempotent: true });

await producer.connect();
const [sent] = await producer.send({
  topic: process.env.TOPIC ?? "catalyst.key.commands",
  acks: -1,
  // key: commands of one entity share a partition, so that they take effect in order
  messages: [{ key: keyId, value: Buffer.from(encode(data)), headers }],
});
console.log(`${keyId} asked for at ${sent.topicName}[${sent.partition}]@${sent.baseOffset}`);
await producer.disconnect();
