package lull.peer;

import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.WriteBufferManager;

import java.util.Map;

/** One cache and one bound of write buffers for all stores of the process, small blocks for scattered keys, filters for keys that are not there. */
public final class Tuning implements RocksDBConfigSetter {
    private static final long CACHE_BYTES = 256L << 20;

    static {
        RocksDB.loadLibrary();
    }

    private static final Cache CACHE = new LRUCache(CACHE_BYTES, -1, false, 0.1);
    private static final WriteBufferManager BUFFERS = new WriteBufferManager(128L << 20, CACHE);
    private static final BloomFilter FILTER = new BloomFilter(10, false);

    @Override
    public void setConfig(String store, Options options, Map<String, Object> configs) {
        BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
        table.setBlockCache(CACHE).setBlockSize(4 << 10).setFilterPolicy(FILTER).setFormatVersion(5);
        table.setCacheIndexAndFilterBlocks(true).setCacheIndexAndFilterBlocksWithHighPriority(true).setPinTopLevelIndexAndFilter(true);
        options.setTableFormatConfig(table).setWriteBufferManager(BUFFERS).setWriteBufferSize(16 << 20).setMaxWriteBufferNumber(3);
    }

    @Override
    public void close(String store, Options options) {
        // All is the process's.
    }
}
