"""An example of a program that acts on lull's triggers: each once, whatever becomes of the process, in whichever format they are.

docs/operating/subscribe.md explains it; main.go is the same in Go. Its database holds what it does, how far it has read and what it has seen:
one transaction for each batch changes all three, or none. Needs: pip install -r requirements.txt
"""

import argparse
import io
import json
import signal
import sqlite3
import sys
import time
import urllib.request

import confluent_kafka
import fastavro

TABLES = """
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY AUTOINCREMENT, ce_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS actions (ce_id TEXT, action TEXT, customer_id TEXT, rule TEXT, of TEXT, why TEXT);
"""

# What this program wants to know of a trigger. Avro finds it in the schema that a value was written with, older or newer.
WANTED = fastavro.parse_schema({
    "type": "record", "name": "Trigger", "namespace": "lull", "fields": [
        {"name": "customer_id", "type": "string"}, {"name": "rule", "type": "string"}, {"name": "actionable", "type": "boolean"},
        {"name": "withheld", "type": ["null", "string"], "default": None}, {"name": "reasons", "type": {"type": "array", "items": "string"}},
        {"name": "withdraws", "type": ["null", "string"], "default": None}]})


class Decoder:
    """Reads values of the format that their content type names."""

    def __init__(self, schema_file, registry):
        self.registry = registry
        self.schemas = {}  # by id; None: of values without framing
        if not schema_file:
            return
        try:  # at once: the first value that needs it may be hours away
            with open(schema_file, encoding="utf-8") as file:
                self.schemas[None] = fastavro.parse_schema(json.load(file))
        except (OSError, ValueError, fastavro.schema.SchemaParseException) as error:
            sys.exit(f"subscriber: --schema {schema_file}: it must be a file with what `lull schemas show triggers` prints: {error}")

    def trigger(self, content_type, value):
        if content_type == "application/json":
            return json.loads(value)
        if content_type == "application/avro":
            return self.read(None, value)
        if content_type == "application/vnd.confluent.avro" and len(value) >= 5 and value[0] == 0:  # a zero byte, and the schema's id
            return self.read(int.from_bytes(value[1:5], "big"), value[5:])
        raise ValueError(f"content-type is {content_type!r}, the value begins with {value[:5]!r}")

    def read(self, schema_id, value):
        if schema_id not in self.schemas:
            self.schemas[schema_id] = fastavro.parse_schema(json.loads(self.written(schema_id)))
        return fastavro.schemaless_reader(io.BytesIO(value), self.schemas[schema_id], WANTED)

    def written(self, schema_id):
        if schema_id is None:
            sys.exit("subscriber: a value is plain Avro, without its schema: give --schema the file with what `lull schemas show triggers` prints")
        if not self.registry:
            sys.exit(f"subscriber: a value has the schema {schema_id} of a registry: give --registry the registry's URL")
        url = f"{self.registry}/schemas/ids/{schema_id}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["schema"]
        except (OSError, ValueError, KeyError) as error:  # nothing of this batch is done, and it comes again after the restart
            sys.exit(f"subscriber: --registry {self.registry}: {url}: {error}: mend the registry, or the URL at which its API begins, and start again")


def decide(headers, value, decoder):
    """Returns what a record asks for: the action, customer, rule, the trigger that is taken back, and why. None: what a later version of lull may tell."""
    if headers.get("ce_type") != "lull.trigger":
        return None
    t = decoder.trigger(headers.get("content-type"), value)
    if t.get("withdraws"):
        return "take back", t["customer_id"], t["rule"], t["withdraws"], t["reasons"]
    if t["actionable"]:
        return "act", t["customer_id"], t["rule"], None, t["reasons"]
    return "none", t["customer_id"], t["rule"], None, [t["withheld"]]


def handle(database, messages, decoder, seen_max):
    """Does what a batch asks for, in one transaction with its positions."""
    with database:  # commits, or rolls back
        for m in messages:
            headers = {name: (value or b"").decode() for name, value in m.headers() or []}
            asked = decide(headers, m.value(), decoder)
            if asked:
                action, customer, rule, of, why = asked
                new = database.execute("INSERT OR IGNORE INTO seen (ce_id) VALUES (?)", (headers["ce_id"],)).rowcount
                if new:
                    database.execute("INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?)", (headers["ce_id"], action, customer, rule, of, json.dumps(why)))
            database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (m.partition(), m.offset() + 1))
        database.execute("DELETE FROM seen WHERE number <= (SELECT max(number) FROM seen) - ?", (seen_max,))


def unanswered(brokers):
    """Returns a function that tells, once a minute at most, that no broker answers."""
    told = None

    def tell(error):
        nonlocal told
        if error.code() == confluent_kafka.KafkaError._ALL_BROKERS_DOWN and (told is None or time.monotonic() - told > 60):
            told = time.monotonic()
            print(f"subscriber: no broker of {brokers} answers ({error.str()}): start it, or mend --brokers; trying again", file=sys.stderr)
    return tell


def subscribe(brokers, topic, positions):
    """Returns a consumer of committed records of all partitions. It is in no group: the database knows the positions."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": brokers, "group.id": "none", "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest",
        "log_level": 0, "error_cb": unanswered(brokers)})  # the library says the same of every attempt, several times a second
    try:
        known = consumer.list_topics(topic, timeout=30).topics[topic]
        if known.error:
            raise confluent_kafka.KafkaException(known.error)
    except confluent_kafka.KafkaException as error:
        sys.exit(f"subscriber: --brokers {brokers}, --topic {topic}: {error.args[0].str()}: start the brokers, or mend --brokers; a topic that is not there is made by `lull topics apply`")
    consumer.assign([confluent_kafka.TopicPartition(topic, p, positions.get(p, confluent_kafka.OFFSET_BEGINNING)) for p in known.partitions])
    return consumer


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--brokers", default="localhost:9092")
    flags.add_argument("--topic", default="lull.triggers")
    flags.add_argument("--database", default="triggers.db", help="file of what has been done")
    flags.add_argument("--schema", help="file with the schema of values without framing: lull schemas show triggers")
    flags.add_argument("--registry", help="URL of the registry with the schemas of values in its wire format")
    flags.add_argument("--seen", type=int, default=200_000, help="how many ids are kept to know doubles by")
    flags.add_argument("--list", action="store_true", help="print what has been done, and end")
    args = flags.parse_args()
    database = sqlite3.connect(args.database, timeout=30)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")  # what has been committed is on the disk
    database.executescript(TABLES)
    if args.list:
        rows = database.execute("SELECT ce_id, action, customer_id, rule, of, why FROM actions")
        for ce_id, action, customer, rule, of, why in rows:
            print(json.dumps({"ce_id": ce_id, "action": action, "customer_id": customer, "rule": rule, "of": of, "why": json.loads(why)}))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    decoder = Decoder(args.schema, args.registry)
    consumer = subscribe(args.brokers, args.topic, dict(database.execute("SELECT partition, next FROM positions")))
    while True:
        messages = consumer.consume(num_messages=500, timeout=1.0)
        for m in messages:
            if m.error():
                raise confluent_kafka.KafkaException(m.error())
        if messages:
            handle(database, messages, decoder, args.seen)


if __name__ == "__main__":
    main()
