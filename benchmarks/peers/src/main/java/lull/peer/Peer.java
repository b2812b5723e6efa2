package lull.peer;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.AutoOffsetReset;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.LogAndContinueExceptionHandler;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/** Runs the job until standard input ends, so that it never outlives who started it. Arguments are KEY=VALUE; benchmarks/peers.go gives them. */
public final class Peer {
    public static void main(String[] args) throws IOException {
        Map<String, String> settings = new HashMap<>();
        for (String arg : args) {
            int equals = arg.indexOf('=');
            settings.put(arg.substring(0, equals), arg.substring(equals + 1));
        }
        double[] numbers = Arrays.stream(settings.get("model").split(",")).mapToDouble(Double::parseDouble).toArray();
        Model model = new Model(settings.get("model-version"), numbers);
        KafkaStreams streams = new KafkaStreams(topology(settings, model), properties(settings));
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.start();
        while (System.in.read() >= 0) { }
        if (!streams.close(Duration.ofSeconds(60))) {
            System.err.println("peer: Kafka Streams has not stopped within 60 s");
            System.exit(1);
        }
    }

    private static Topology topology(Map<String, String> settings, Model model) {
        boolean memory = settings.get("stores").equals("memory");
        Topology t = new Topology();
        t.addSource(AutoOffsetReset.earliest(), "events", new Event.Timestamps(), new ByteArrayDeserializer(), new Event.Decoder(), settings.get("input"));
        t.addProcessor("job", () -> new Job(model), "events");
        // The cache keeps of each customer only the last write before a commit: fewer changelog records, and fewer writes to RocksDB.
        t.addStateStore(Stores.keyValueStoreBuilder(store(Job.CUSTOMERS, memory), Serdes.ByteArray(), Customer.serde()).withCachingEnabled(), "job");
        t.addStateStore(Stores.keyValueStoreBuilder(store(Job.TIMERS, memory), Serdes.ByteArray(), Serdes.ByteArray()).withCachingEnabled(), "job");
        for (String output : List.of(Outputs.SESSIONS, Outputs.SCORES, Outputs.SEGMENTS, Outputs.TRIGGERS)) {
            t.addSink(output, settings.get("prefix") + output, new ByteArraySerializer(), new ByteArraySerializer(), "job");
        }
        return t;
    }

    private static KeyValueBytesStoreSupplier store(String name, boolean memory) {
        return memory ? Stores.inMemoryKeyValueStore(name) : Stores.persistentKeyValueStore(name);
    }

    private static Properties properties(Map<String, String> settings) {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, settings.get("application"));
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.get("brokers"));
        p.put(StreamsConfig.STATE_DIR_CONFIG, settings.get("state"));
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.get("commit-ms"));
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors());
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256 << 20);
        p.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Tuning.class);
        p.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5000);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, -1);
        p.put(StreamsConfig.DESERIALIZATION_EXCEPTION_HANDLER_CLASS_CONFIG, LogAndContinueExceptionHandler.class);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        return p;
    }

    private Peer() {}
}
