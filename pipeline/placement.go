package pipeline

import (
	"hash/crc32"
	"hash/fnv"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// placement says where records of a key belong, by the partitioners that producers are known to use.
//
// It is not safe for concurrent use.
type placement struct {
	partitions int32
	murmur2    kgo.TopicPartitioner
	record     kgo.Record // carries a key to murmur2: a new one for each event would be the greater part of what placement costs
}

func newPlacement(partitions int32) placement {
	return placement{partitions: partitions, murmur2: kgo.StickyKeyPartitioner(nil).ForTopic("")}
}

// of returns the partition of a key by murmur2: Kafka's own clients.
func (p *placement) of(key []byte) int32 {
	p.record.Key = key
	return int32(p.murmur2.Partition(&p.record, int(p.partitions)))
}

// all returns where known partitioners put the key: murmur2; CRC-32, librdkafka's "consistent"; FNV-1a, Sarama's.
func (p *placement) all(key []byte) [3]int32 {
	crc := int32(crc32.ChecksumIEEE(key) % uint32(p.partitions))
	h := fnv.New32a()
	h.Write(key)
	sarama := int32(h.Sum32()) % p.partitions
	if sarama < 0 {
		sarama = -sarama
	}
	return [...]int32{p.of(key), crc, sarama}
}

// holds reports whether any known partitioner puts the key where it was found. A key that none of them puts there has come by another way, and its
// customer may be in several partitions.
func (p *placement) holds(key []byte, partition int32) bool {
	if p.of(key) == partition {
		return true
	}
	all := p.all(key)
	return slices.Contains(all[1:], partition)
}

// RedrivePartition returns the partition, of so many, to which a record goes again that came from one of them: where it was if a known partitioner puts its
// key there, since that is where its producer puts all of its customer's records; else where murmur2 puts the key, as Kafka's own clients do. A record
// without a key, such as a time mark, was meant for the partition it was in.
func RedrivePartition(key []byte, from, partitions int32) int32 {
	inRange := from >= 0 && from < partitions
	if len(key) == 0 {
		if inRange {
			return from
		}
		return 0
	}
	p := newPlacement(partitions)
	if inRange && p.holds(key, from) {
		return from
	}
	return p.of(key)
}
