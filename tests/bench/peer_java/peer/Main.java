package peer;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The best service that a user would write in Java for key.issue commands: up to 2,000 commands a
 * poll, everything of a poll in one PostgreSQL and one Kafka transaction, one thread. It is what
 * the worker is compared with, not part of it.
 */
public final class Main {
    private static final int POLL_MAX = 2000;
    private static final int BATCH_BYTES = 256 * 1024;
    private static final Duration POLL_TIMEOUT = Duration.ofSeconds(1);

    private static volatile boolean stopping;
    private static volatile int exitCode = 1;

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final KafkaProducer<byte[], byte[]> producer;
    private final CommandDecoder decoder = new CommandDecoder();
    private final AuditEvents events;
    private final Store store;

    private Main(Map<String, String> options) throws Exception {
        store = new Store(options.get("conninfo"), options.getOrDefault("schema", "public"));
        events = new AuditEvents(options.get("audit-topic"));
        producer = openProducer(options);
        consumer = openConsumer(options);
    }

    private static KafkaConsumer<byte[], byte[]> openConsumer(Map<String, String> options) {
        Map<String, Object> settings = new HashMap<>();
        settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("brokers"));
        settings.put(ConsumerConfig.GROUP_ID_CONFIG, options.get("group"));
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        settings.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, POLL_MAX);
        settings.put(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, 50);
        KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(
                        settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of(options.get("topic")));
        return consumer;
    }

    /**
     * Retries wait as long as the worker's: a transaction may find the one before it not yet ended.
     * Batches hold a poll's events of one partition, which halves the broker's work.
     */
    private static KafkaProducer<byte[], byte[]> openProducer(Map<String, String> options) {
        Map<String, Object> settings = new HashMap<>();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("brokers"));
        settings.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, options.get("group"));
        settings.put(ProducerConfig.LINGER_MS_CONFIG, 0);
        settings.put(ProducerConfig.BATCH_SIZE_CONFIG, BATCH_BYTES);
        settings.put(ProducerConfig.RETRY_BACKOFF_MS_CONFIG, 10);
        KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(
                        settings, new ByteArraySerializer(), new ByteArraySerializer());
        producer.initTransactions();
        return producer;
    }

    private void run() throws Exception {
        while (!stopping) {
            ConsumerRecords<byte[], byte[]> records = poll();
            if (!records.isEmpty()) {
                work(records);
            }
        }
        consumer.close();
        producer.close();
        store.close();
    }

    private ConsumerRecords<byte[], byte[]> poll() {
        try {
            return consumer.poll(POLL_TIMEOUT);
        } catch (WakeupException stop) {
            return ConsumerRecords.empty();
        }
    }

    private void work(ConsumerRecords<byte[], byte[]> records) throws Exception {
        List<Command> commands = new ArrayList<>(records.count());
        for (ConsumerRecord<byte[], byte[]> record : records) {
            commands.add(decoder.decode(record));
        }
        List<Command> fresh = store.apply(commands);
        producer.beginTransaction();
        for (Command command : fresh) {
            producer.send(events.of(command)); // a failure is told by the commit
        }
        producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
        producer.commitTransaction();
    }

    /** Left to itself, Java ends with 143 after SIGTERM, even when everything was put in order. */
    private void stopOnSignal() {
        Thread main = Thread.currentThread();
        Thread hook =
                new Thread(
                        () -> {
                            stopping = true;
                            consumer.wakeup();
                            try {
                                main.join();
                            } catch (InterruptedException unexpected) {
                                exitCode = 1;
                            }
                            Runtime.getRuntime().halt(exitCode);
                        });
        Runtime.getRuntime().addShutdownHook(hook);
    }

    private static Map<String, String> parse(String[] words) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i < words.length; i += 2) {
            if (!words[i].startsWith("--") || i + 1 == words.length) {
                throw new IllegalArgumentException("--name value pairs are wanted");
            }
            options.put(words[i].substring(2), words[i + 1]);
        }
        return options;
    }

    public static void main(String[] words) throws Exception {
        Main service = new Main(parse(words));
        service.stopOnSignal();
        service.run();
        exitCode = 0;
    }
}
