"""Every bound of the router, once, with its reason. Those of the data set itself stand in `dialplan.kinds`."""

# --- FastAGI, from the wire ---------------------------------------------------------------------------------------
# A real Asterisk sends about 510 bytes. But it copies a caller's diverting number whole, and a SIP message may have
# 65,535 (PJSIP_MAX_PKT_LEN): a shorter bound would let a caller choose to be decided without the router.
ENVIRONMENT_MAX_BYTES = 66 * 1024  # a whole SIP message, and what Asterisk itself says
ENVIRONMENT_MAX_LINES = 200  # a real one has 22, and one more for each argument
REPLY_MAX_BYTES = ENVIRONMENT_MAX_BYTES  # what follows a forged end of the environment is as long as that may be
USAGE_MAX_BYTES = 4096  # of a command in a reply; the one of EXEC has under 1,000
AGI_HANGUPS_MAX = 3  # Asterisk tells of a hangup twice at most; without a bound a caller could pad a forged reply so
UNIQUE_ID_LOG_MAX_CHARS = 150  # AST_MAX_UNIQUEID
DIALLED_LOG_MAX_CHARS = 64  # callers choose the dialled text: no more of it than this in a log line
CALLER_LOG_MAX_CHARS = 64  # nor of a caller's own number that cannot be read

# --- FastAGI, to the wire -----------------------------------------------------------------------------------------
COMMAND_MAX_BYTES = 2047  # res_agi.c before 22.6 runs what is over as a new command; 22.6 and newer take 8,191
MSET_MAX_PAIRS = 24  # pbx_variables.c; what is over goes into the last one's value (22.10 takes 99, older ones 24)

# --- FastAGI, as a command asks a router --------------------------------------------------------------------------
ANSWER_MAX_COMMANDS = 300  # two flows with 100 parameters each, each of which takes a command, and what revokes them
ANSWER_MAX_BYTES = 1024**2  # as many as that of COMMAND_MAX_BYTES are 600 KiB

# --- FastAGI, connections -----------------------------------------------------------------------------------------
AGI_FIRST_READ_BYTES = 339  # Asterisk's 22 keys alone: its block comes in some ten pieces, each of which would wake us
AGI_SILENT_SECONDS = 0.008  # until a shorter block, of a client made by hand, is read all the same
AGI_BACKLOG = 4096  # bursts overflow a queue of 128 at 100 connections/s; the kernel may cut this to somaxconn
AGI_MAX_CONNECTIONS = 8192  # a call holds one for about a millisecond; each costs some 4 KiB and a descriptor
DEADLINE_MAX_MS = 60_000  # more than a minute of silence is no deadline
LAST_WORDS_SECONDS = 0.5  # past its deadline: for a call whose answer is revoked to read that, and to close
PEER_CACHE_MAX = 1024  # peers that were looked up in the allow-list

ACCOUNT_SECONDS = 0.02  # how long a decided call may wait to be counted and logged with others
ACCOUNT_MAX_CALLS = 500  # counted and logged at once: some 3 ms of work

# --- answers ------------------------------------------------------------------------------------------------------
REMEMBERED_MAX = 2048  # decisions by their entries, twice for each script; some 2 KiB each, and freed in 4 ms
RESPONSE_CACHE_MAX_BYTES = 32 * 1024**2  # of prepared responses: 50,000 usual ones, or 700 of the largest kind

# --- logs ---------------------------------------------------------------------------------------------------------
LOG_LINES_MAX = 50_000  # waiting to be written; 30 s of a busy router. What is over is dropped and counted
LOG_FLUSH_SECONDS = 0.1  # how long a call's line may wait for its batch

# --- the store ----------------------------------------------------------------------------------------------------
STORE_POLL_SECONDS = 0.04  # a committed change is to be live within 200 ms; a look costs about 3 µs
STORE_BUSY_SECONDS = 30.0  # how long a load waits for another one's transaction
SQLITE_LOOK_SECONDS = 0.005  # how often who opens a new file looks whether another one is done with making it
STORE_BATCH_ROWS = 2_000  # rows read in one go: about 4 ms of work away from the event loop
STORE_RETRY_MIN_SECONDS = 0.1  # after a failed look at the store, doubling
STORE_RETRY_MAX_SECONDS = 5.0  # how long a store may be back before anybody notices
NAMES_SOUGHT_MAX = 20  # names sought in the text of each row before it is read; more take as long as reading it
TOMBSTONES_MAX = 100_000  # removed rows that a reader may still have to hear of; beyond, readers compare in full
LATER_ROWS_NAMED_MAX = 20  # rows of a later version that one line of the log names; a metric counts them all
DATA_FILE_MAX_BYTES = 2 * 1024**3  # a file of five million numbers has half of that

# --- what is kept here for when a shared store is away ------------------------------------------------------------
SNAPSHOT_SEEN_SECONDS = 60.0  # how often a snapshot that needs no change notes that it is in step
SNAPSHOT_BUSY_SECONDS = 0.2  # a change is live only after its snapshot: who looks into that file holds it up so long
DISK_ANSWER_SECONDS = 5.0  # for one step in a file here; the longest, the commit of a million rows, takes about 1 s
DISK_CLOSE_SECONDS = 2.0  # to close a file: with the calls' own end before that less than the 10 s of `docker stop`
DISK_FULL_BYTES = 64 * 1024  # SQLite's -shm file alone takes 32 KiB: a disk with less has no room
SNAPSHOT_FILL_RETRY_SECONDS = 30.0  # after the store failed while all of it was read into the snapshot
SNAPSHOT_RETRY_SECONDS = 600.0  # how long a snapshot that could not be written is left alone: all of it may be due
IMAGE_CHANGES_MAX = 50_000  # numbers that changed since the image of the table was written: they are read one by one
RECORD_SECONDS = 0.5  # how long an attempt waits for the shared store before it is kept here
OUTBOX_AT_ONCE = 500  # attempts handed over in one go
OUTBOX_MAX = 200_000  # attempts kept here, some 110 MB: hours of a busy dialler. Beyond, their sources keep them

# --- Redis --------------------------------------------------------------------------------------------------------
REDIS_CONNECT_SECONDS = 1.0  # on a network of one's own a connection takes a millisecond
REDIS_COMMAND_SECONDS = 5.0  # for one command or script; the longest writes 2,000 rows in some 10 ms
REDIS_FILES_SECONDS = 2.0  # to read the password or the certificates: a mount that hangs takes for ever
REDIS_PASSWORD_MAX_BYTES = 4096  # a line of redis.conf has less
REDIS_CONNECTIONS_MAX = 16  # of one router; a callback uses one for about a millisecond
REDIS_LOCK_SECONDS = 15.0  # a writer that died holds up the next one so long; a living one renews it
REDIS_LOCK_LOOK_SECONDS = 0.005  # how often a writer looks whether it is its turn
REDIS_SCAN_ROWS = 400  # rows in one reply: 100 KB, each 64 of which the event loop takes in beside busy threads
REDIS_GETS_MAX = 2_000  # single rows that a check asks for; beyond, all of their kind are fetched (4 s for a million)
REDIS_STAGED_SECONDS = 600.0  # what a writer that died had sent ahead is let go after that
REDIS_REFUSED_SECONDS = 60.0  # a full reading that did not add up is tried again then: a million rows take 5 s
REDIS_LOG_ROWS_MAX = 100_000  # changed rows kept for readers; who is further behind compares in full
REDIS_LOG_COMMITS_MAX = 10_000  # the same, in commits
REDIS_LOG_GRACE_SECONDS = 120.0  # rows of a commit that is trimmed stay so long for a reader in the middle of them
REDIS_ATTEMPT_CHANGES_MAX = 100_000  # attempts and claims kept for routers to follow; who is further behind reads all
ATTEMPTS_PAGE_MAX = 1_000  # attempts read in one script: some 2 ms
ATTEMPTS_DROPPED_AT_ONCE = 200  # attempts that one script deletes, each with eight arguments: some 2 ms to send
ATTEMPTS_LISTED_AT_ONCE = 200  # attempts that one script puts into the lists: some 5 ms
ATTEMPTS_UNLISTED_MAX = 5_000  # attempts until a router sees to the lists; the stream has REDIS_ATTEMPT_CHANGES_MAX
REDIS_TRIES = 50  # of a change, each failure of which is the success of another one of the same pair

# --- attempts and callbacks ---------------------------------------------------------------------------------------
CALLBACK_CLAIM_SECONDS = 0.25  # how long a callback waits for its entitlement: a quarter of a call's own deadline
CALLBACK_CLAIMS_MAX = 500  # waiting for the store at a time; when it has stalled, nobody waits any longer
CALLBACK_BUSY_SECONDS = 0.2  # the file's only writer is the router; somebody with a shell may hold it all the same
CALLBACK_PAIRS_MAX = 1_000_000  # of number and subscriber held in memory, about 700 bytes each; beyond, ask the store
CALLBACK_DECLARED_MAX = 10_000  # answers given without the store that are remembered for calls that ask again
CALLBACK_WRITES_MAX = 500  # claims and other writes done in one transaction
CALLBACK_LOOK_SECONDS = 0.2  # how often a file is looked at for what another router has written down
ATTEMPT_CHANGES_MAX = 2_000  # attempts that one such look takes up
CALLBACK_PAIR_CLAIMS_MAX = 1_000  # of one pair's calls; beyond, what a robot that rings on was told is worked out again
HISTORY_ATTEMPTS_MAX = 500  # of one pair that a claim looks at, newest first
RECORD_BATCH_MAX = 500  # attempts written down in one transaction
RECORD_QUEUE_MAX = 20_000  # attempts waiting to be written; beyond, a reporter is told that it was not taken
RECORD_RETRY_SECONDS = 1.0  # between two tries to write down what the manager interface told of
PURGE_SECONDS = 3600.0  # how often attempts past their campaign's window are deleted
PURGE_PACE = 1.25  # of the time that has passed: what a purge believes its clock. 4 days of a wrong one cost the margin
PURGE_JUMP_SECONDS = 6 * 3600.0  # by how much the clock has to be off for that to be told: a quarter of the margin
PURGE_MARGIN_SECONDS = 86_400.0  # past its window an attempt is kept so long: no call lasts longer
PURGE_ROWS_AT_ONCE = 1_000  # deleted in one transaction: claims wait for some 5 ms
PURGE_PAIRS_AT_ONCE = 250  # looked through, or taken in, in one turn of the event loop: about a millisecond
ATTEMPT_KEEP_SECONDS = 366 * 86_400.0  # no attempt is kept longer, whatever became of its campaign
COUNTER_KEEP_SECONDS = 2 * ATTEMPT_KEEP_SECONDS  # a counter that nobody asks any more goes after that

# --- the manager interface ----------------------------------------------------------------------------------------
AMI_CONNECT_SECONDS = 5.0  # until the banner has come
AMI_ACTION_SECONDS = 5.0  # for the whole reply to an action; a ping that takes longer means that nobody is there
AMI_PING_SECONDS = 5.0  # between pings: a link whose other half has gone is noticed within twice that
AMI_RETRY_MIN_SECONDS = 0.5  # before the next session, doubling, and drawn between half of it and all of it
AMI_RETRY_MAX_SECONDS = 30.0  # how long an Asterisk may be back before anybody notices
AMI_STEADY_SECONDS = 60.0  # a session that lasted so long was a good one: the next try comes soon
AMI_MESSAGE_MAX_BYTES = 256 * 1024  # one message; a real one has 2 KB
AMI_LIST_MAX = 100_000  # entries of one reply: attempts that waited in AstDB
AMI_LIST_MAX_BYTES = 32 * 1024**2  # the same in bytes: as many entries, each twice as long as it usually is
AMI_TURN_MESSAGES = 200  # read in one turn of the event loop: some 4 ms
AMI_OPEN_LEGS_MAX = 20_000  # dialled channels being followed; the oldest call is given up beyond
AMI_ENDED_MAX = 100  # subscribers of one call who are through with it while others of it are still dialled
AMI_ASTDB_RETRY_SECONDS = 60.0  # before what waited in AstDB is asked for again, where that was refused or broke off
AMI_HEARING_LOOK_SECONDS = 3.0  # between two looks at what should have come, and for it to come: events may lag
AMI_HEARING_PROOFS = 3  # channels that ended, or campaigns' calls, without their event: a lone one may be odd
AMI_HEARING_ASK_SECONDS = 1.0  # between two questions whether a decided call is one of that Asterisk's
AMI_HEARING_UNKNOWN_CALLS = 20  # decided calls that no Asterisk has; a few are health checks, or ended before
AMI_HEARING_ENDED_MAX = 100  # calls that ended lately: an instant one is over before it can be asked for
AMI_FILES_SECONDS = 5.0  # to read the secret and the certificates: a mount that hangs takes for ever
AMI_SECRET_MAX_BYTES = 4096  # a line of manager.conf has less
LOG_REPEATED_MAX = 1024  # things, such as a peer with a cause, whose repetitions are counted between two lines
LOG_REPEAT_SECONDS = 60.0  # between two lines about what callers or a full store may repeat a thousand times a second

# --- what is seen from outside, over HTTP -------------------------------------------------------------------------
LIVE_SECONDS = 1.0  # how long /live waits for a turn of the event loop, which takes a few milliseconds
HTTP_IDLE_SECONDS = 30.0  # how long a peer that sends nothing keeps a thread of ours

# --- the configuration --------------------------------------------------------------------------------------------
CONFIGURATION_MAX_BYTES = 1024**2  # the commented default has 5 KB
CONFIGURATION_SECONDS = 5.0  # for a configuration that comes out of a pipe to come, and to end

# --- the process --------------------------------------------------------------------------------------------------
OTHER_DESCRIPTORS = 256  # files that the process may have open beside its AGI connections
DESCRIPTORS_MIN = 64  # a router without calls has some 25 open, and some more while it starts
THREAD_SWITCH_SECONDS = 0.0005  # how long the store's thread may hold up a call that waits for the interpreter
GIVE_UP_SECONDS = 0.5  # told to stop while starting: for what it waits for to be called off, and to close the rest
DRAIN_MARGIN_SECONDS = 0.5  # after SIGTERM: the deadline of the calls in flight, and this for their last bytes
FINISH_SECONDS = 2.0  # after that: for attempts that the manager interface told of and that are not written down yet
STATUS_TIMEOUT_SECONDS = 3.0  # `ringway status` and `ringway call`
PAGE_MAX_BYTES = 4 * 1024**2  # of a router's metrics, which have some 30 KB, and 1 KB for each [[ami]]

# --- the check of a site's wiring ---------------------------------------------------------------------------------
DOCTOR_PART_SECONDS = 8.0  # for each part, all of them at a time: longer than any one of its own bounds
DOCTOR_ASTERISK_SECONDS = 15.0  # for one Asterisk: to connect, to log in, and what it is asked then
DOCTOR_LISTEN_SECONDS = 3.0  # where calls are up: for one of them to end, whose end is to be told
DOCTOR_LOOK_SECONDS = 0.25  # how often it is looked which calls are still up
DOCTOR_TOLD_SECONDS = 1.0  # an event comes after its channel has gone, and a host's address: some milliseconds later
DOCTOR_CHANNELS_MAX = 50  # of those that are up, looked at: enough to see their variables
DOCTOR_CLOCKS_APART_SECONDS = 2.0  # the callback rules bear 5; a clock that is off by 2 is not kept
