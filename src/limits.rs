//! Every bound of the broker that is not a setting, with its reason (reliability.md 4).

/// Longest AMQP short string, in bytes (spec 4.2.5.3).
pub const SHORT_STRING_MAX: usize = 255;

/// Bytes that the publishes of a transaction may take before it is committed.
pub const TRANSACTION_BYTES: u64 = 128 * 1024 * 1024;

/// Longest regular expression of a permission, in bytes.
pub const PATTERN_BYTES: usize = 16 * 1024;

/// Bytes of a permission's compiled expression.
pub const PATTERN_PROGRAM_BYTES: usize = 1024 * 1024;

/// Steps back that matching a permission may take before it counts as no match.
pub const PATTERN_STEPS: usize = 100_000;

/// Bytes of a frame around its payload: type, channel, size, end marker.
pub const FRAME_OVERHEAD: usize = 8;

/// Largest frame that a client may be allowed before open-ok, in bytes: anybody can send one.
pub const INITIAL_FRAME_MAX_CEILING: u32 = 1024 * 1024;

/// Smallest `frame_max` a client may negotiate, in bytes (RabbitMQ 4.2 with 4096 still accepted).
pub const FRAME_MAX_MIN: u32 = 4096;

/// Largest frame that is looked at after our connection.close, in bytes: a close with the longest text has 266.
pub const CLOSE_FRAME_BYTES: u32 = 512;

/// Sockets beyond `listener.connection_max`: those that are in their handshake, and are told if there is no room.
pub const HANDSHAKES_MAX: usize = 256;

/// Bytes a connection may make us hold before it has logged in.
pub const BEFORE_LOGIN_BYTES: usize = 16 * 1024;

/// Deepest nesting of tables and arrays in one field table; real `x-death` headers need 3.
pub const TABLE_DEPTH_MAX: usize = 32;

/// Largest body a content header may announce, in bytes, whatever `max_message_size` says (compat.md 1.1).
pub const BODY_SIZE_CEILING: u64 = 512 * 1024 * 1024;

/// A chunk is closed when it holds this many bytes (design.md 6); a larger message has a chunk of its own.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes a consumer may be sent ahead of what its connection has taken from the outbox.
pub const CONSUMER_WINDOW_BYTES: i64 = 1024 * 1024;

/// Bytes read from a socket at once.
pub const READ_BYTES: usize = 128 * 1024;

/// A connection's output is not filled further while this many bytes wait for the socket.
pub const OUTPUT_BYTES: usize = 256 * 1024;

/// Longest frames before a body that are remembered to recognise them when they come again, in bytes.
pub const REPEATED_BYTES: usize = 1024;

/// Frames of a channel that wait behind an unfinished definition, in bytes; past it the socket is not read.
pub const DEFERRED_BYTES: usize = 256 * 1024;

/// Replies of a channel's definitions that may wait for the disk; later definitions wait behind them.
pub const WAITING_REPLIES: usize = 1024;

/// Ready bytes kept in memory at the head of each queue while memory is short.
pub const HEAD_BYTES: usize = 1024 * 1024;

/// Queues, and exchanges, by which the figures of a channel are told apart. What it does with more at a time is counted together.
pub const CHANNEL_PAIRS_MAX: usize = 256;

/// Appended bytes that make the committer close an epoch though nobody waits for it.
pub const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// Publishes of a queue that consumers hold and whose publishers are told when they are acknowledged. Of more, the oldest wait for
/// the disk.
pub const RECEIPTS_MAX: usize = 64;

/// Most messages that a publisher hands over at once to be told when they are acknowledged.
pub const RECEIPT_MESSAGES: u32 = 8;

/// Chunk bytes that one write to disk takes: RocksDB copies them twice, and the smallest memory budgets feel it.
pub const WRITE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that a connection's turn may add to queues: a message for many queues counts once for each.
pub const TURN_BYTES: usize = 8 * 1024 * 1024;

/// Samples of an object: as many as a minute has, and those at both ends.
pub const SERIES_SAMPLES: usize = 14;

/// Samples of the node: ten minutes.
pub const SERIES_SAMPLES_NODE: usize = 122;

/// Queues, or exchanges, of which so many samples are kept; of the others the last two.
pub const SERIES_MAX: usize = 10_000;

/// Sockets of HTTP clients at a time; more wait in the kernel's queue.
pub const HTTP_CONNECTIONS: usize = 512;

/// HTTP requests that are worked on at a time: a greedy client must not take all processors from the broker's own work.
pub const HTTP_HANDLERS: usize = 2;

/// Largest body of an HTTP request, in bytes (compat.md 3.1).
pub const HTTP_BODY_BYTES: usize = 20_000_000;

/// Largest body of a request of this machine's tools, in bytes: definitions, which RabbitMQ's tools do not bound.
pub const TOOL_BODY_BYTES: usize = 128 * 1024 * 1024;

/// Bytes of all HTTP requests' bodies together; who finds no room waits.
pub const HTTP_BODIES_BYTES: usize = 64 * 1024 * 1024;

/// Largest head of an HTTP request, in bytes.
pub const HTTP_HEAD_BYTES: usize = 64 * 1024;

/// Events that may wait to be published; more are dropped and counted.
pub const EVENTS: usize = 10_000;

/// Memory that the history of one `x-recent-history` exchange may take, in bytes; one message alone may take more.
pub const HISTORY_BYTES: usize = 16 * 1024 * 1024;

/// Largest weight of a binding of an `x-consistent-hash` exchange; larger ones count as this.
pub const HASH_WEIGHT_MAX: u32 = u32::MAX;

/// Longest selector of a binding of an `x-jms-topic` exchange, in bytes.
pub const SELECTOR_BYTES: usize = 16 * 1024;

/// Deepest nesting of parentheses in such a selector: SQL is read by recursion.
pub const SELECTOR_DEPTH: usize = 64;

/// Longest chain of operations in such a selector, and deepest term of one: it is evaluated by recursion.
pub const SELECTOR_CHAIN: usize = 256;

/// Most identities that one deduplication window remembers, whatever `x-cache-size` says: each takes about 80 bytes of
/// memory and 32 on disk.
pub const DEDUPLICATION_ENTRIES: usize = 4 * 1024 * 1024;

/// Memory of the delayed messages that are due next, of all exchanges together; the others are on disk only.
pub const DELAYED_WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// Delayed messages that are read from disk at once, in bytes: while they are read, none of their exchange is moved.
pub const DELAYED_LOAD_BYTES: usize = 256 * 1024;

/// Delayed messages that one step moves to their queues, in bytes.
pub const DELAYED_MOVE_BYTES: usize = 256 * 1024;

/// Delayed messages of an exchange that have moved and wait for their queues' disk: each is remembered by its place.
pub const DELAYED_MOVING_MAX: usize = 65_536;

/// Bytes of a TLS handshake that may wait for the rest of their message, beside what is read at once: a client's
/// certificate and those it is signed by have less.
pub const TLS_HANDSHAKE_BYTES: usize = 16 * 1024;
