"""Every bound of the router, once, with its reason. Those of the data set itself stand in `dialplan.model`."""

# --- FastAGI, from the wire ---------------------------------------------------------------------------------------
# A real Asterisk sends about 510 bytes. But it copies a caller's diverting number whole, and a SIP message may have
# 65,535 (PJSIP_MAX_PKT_LEN): a shorter bound would let a caller choose to be decided without the router.
ENVIRONMENT_MAX_BYTES = 66 * 1024  # a whole SIP message, and what Asterisk itself says
ENVIRONMENT_MAX_LINES = 200  # a real one has 22, and one more for each argument
REPLY_MAX_BYTES = ENVIRONMENT_MAX_BYTES  # what follows a forged end of the environment is as long as that may be
UNIQUE_ID_LOG_MAX_CHARS = 150  # AST_MAX_UNIQUEID
DIALLED_LOG_MAX_CHARS = 64  # callers choose the dialled text: no more of it than this in a log line

# --- FastAGI, to the wire -----------------------------------------------------------------------------------------
COMMAND_MAX_BYTES = 2047  # res_agi.c before 22.6 runs what is over as a new command; 22.6 and newer take 8,191
MSET_MAX_PAIRS = 24  # pbx_variables.c; what is over goes into the last one's value (22.10 takes 99, older ones 24)

# --- FastAGI, connections -----------------------------------------------------------------------------------------
AGI_BACKLOG = 4096  # bursts overflow a queue of 128 at 100 connections/s; the kernel may cut this to somaxconn
AGI_MAX_CONNECTIONS = 8192  # a call holds one for about a millisecond; each costs some 4 KiB and a descriptor
DEADLINE_MAX_MS = 60_000  # more than a minute of silence is no deadline
PEER_CACHE_MAX = 1024  # peers that were looked up in the allow-list

ACCOUNT_SECONDS = 0.02  # how long a decided call may wait to be counted and logged with others
ACCOUNT_MAX_CALLS = 500  # counted and logged at once: some 3 ms of work

# --- answers ------------------------------------------------------------------------------------------------------
ANSWER_CACHE_MAX_BYTES = 32 * 1024**2  # of prepared answers: 50,000 usual ones, or 700 of the largest kind

# --- logs ---------------------------------------------------------------------------------------------------------
LOG_LINES_MAX = 50_000  # waiting to be written; 30 s of a busy router. What is over is dropped and counted
LOG_FLUSH_SECONDS = 0.1  # how long a call's line may wait for its batch

# --- the store ----------------------------------------------------------------------------------------------------
STORE_POLL_SECONDS = 0.04  # a committed change is to be live within 200 ms; a look costs about 3 µs
STORE_BUSY_SECONDS = 30.0  # how long a load waits for another one's transaction
STORE_BATCH_ROWS = 2_000  # rows read in one go: about 4 ms of work away from the event loop
STORE_RETRY_MIN_SECONDS = 0.1  # after a failed look at the store, doubling
STORE_RETRY_MAX_SECONDS = 5.0  # how long a store may be back before anybody notices
TOMBSTONES_MAX = 100_000  # removed rows that a reader may still have to hear of; beyond, readers compare in full
PATCH_IN_PLACE_ROWS = 2_000  # larger patches are built aside and swapped in: 2,000 rows take under a millisecond
DATA_FILE_MAX_BYTES = 2 * 1024**3  # a file of five million numbers has half of that

# --- the process --------------------------------------------------------------------------------------------------
OTHER_DESCRIPTORS = 256  # files that the process may have open beside its AGI connections
THREAD_SWITCH_SECONDS = 0.0005  # how long the store's thread may hold up a call that waits for the interpreter
DRAIN_MARGIN_SECONDS = 0.5  # after SIGTERM: the deadline of the calls in flight, and this for their last bytes
STATUS_TIMEOUT_SECONDS = 3.0  # `ringway status` and `ringway call`
