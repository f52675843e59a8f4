"""Every Celery setting, and why (docs/operations.md says what to change when)."""

import re
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from .environment import env, read_broker_url, read_count, read_switch
from .mailer import MAILER_BATCH_SECONDS, MAILER_SMTP_DOT_TIMEOUT, MAILER_TICK_SECONDS

# --- Broker ----------------------------------------------------------------------------------
# Carries the ids of what is to be done. `amqp://user:password@host/vhost`, `redis://host/0`, or
# `filesystem:///absolute/folder` on one machine.
CELERY_BROKER_URL = read_broker_url("BROKER_URL")
_scheme = urlsplit(CELERY_BROKER_URL).scheme
# Goes before the name of every queue and exchange: sites that share a broker must not see, stop or
# count each other's workers.
QUEUE_PREFIX = env.str("QUEUE_PREFIX", "")
if not re.fullmatch(r"[A-Za-z0-9_-]*", QUEUE_PREFIX):
    # A dot parts the words of a routing key: "a.b-mail" would reach the queue "b-mail" as well.
    raise ImproperlyConfigured(
        f"QUEUE_PREFIX may hold letters, digits, - and _ alone, not {QUEUE_PREFIX!r}."
    )
CELERY_TASK_DEFAULT_QUEUE = QUEUE_PREFIX + "mail"
CONTROL_QUEUE = QUEUE_PREFIX + "control"
CELERY_CONTROL_EXCHANGE = QUEUE_PREFIX + "celery"
CELERY_EVENT_EXCHANGE = CELERY_EVENT_QUEUE_PREFIX = QUEUE_PREFIX + "celeryev"
if _scheme.startswith("amqp"):
    # Quorum: replicated and written to disk, so a restart of the broker forgets no bell. A message
    # that kills its worker is dropped at the limit (RabbitMQ 4's own; version 3 has none).
    # Topic: what is to come later (a test message's next try) waits in RabbitMQ. From a direct
    # exchange it would wait in a worker, and hold one of its places.
    CELERY_TASK_QUEUES = [
        Queue(
            name,
            Exchange(name, type="topic"),
            routing_key=name,
            queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 20},
        )
        for name in (CELERY_TASK_DEFAULT_QUEUE, CONTROL_QUEUE)
    ]
    CELERY_TASK_DEFAULT_EXCHANGE_TYPE = "topic"
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
        # A publish returns only once the broker holds the message ...
        "confirm_publish": True,
        # ... or fails: a RabbitMQ short of memory or disk takes nothing and says nothing, and a
        # page that asks for a run would wait for as long. Tried some times, this makes 15 s of it.
        "read_timeout": 3,
    }
    # Notices a broker that is gone without a word (a cable, a firewall that forgot).
    CELERY_BROKER_HEARTBEAT = 30
elif _scheme.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # Redis hands out again what was not acknowledged for so long. Longer than any task: a
        # batch yields, but its last message may wait for the relay's answer; nothing carries an
        # ETA beyond minutes.
        "visibility_timeout": 600 + int(2 * (MAILER_BATCH_SECONDS + MAILER_SMTP_DOT_TIMEOUT)),
        "socket_connect_timeout": 4,
        "socket_keepalive": True,
    }
elif _scheme == "filesystem":
    # kombu's own loses messages and stops at an empty file; ours keeps them until acknowledged.
    CELERY_BROKER_TRANSPORT = "site_config.filesystem_broker:Transport"
# With the broker down a publish fails within a second instead of hanging a page; the tick rings
# again from the database.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# For ever: a worker that gave up would have to be started by hand once the broker is back.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None

# --- Tasks -----------------------------------------------------------------------------------
# JSON only: a pickle from the broker would run code.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_RESULT_ACCEPT_CONTENT = ["json"]
# Acknowledged when done: a killed worker's task comes back. Every task is idempotent.
CELERY_TASK_ACKS_LATE = True
# Redelivering a task that kills its worker would go round for ever; the tick recovers it instead.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
# What hangs, such as a Django backend without a time-out, is killed with its process; its lease
# then runs out. Far beyond a batch and the relay's answers to its last messages.
CELERY_TASK_TIME_LIMIT = max(3600, int(2 * (MAILER_BATCH_SECONDS + MAILER_SMTP_DOT_TIMEOUT)))
# One task in hand per process: batches are long, and a prefetched one would wait behind another.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# What looks after the rest must never queue behind mail (measured: 17 s late on one shared queue).
CELERY_TASK_ROUTES = {
    "mailer.tick": {"queue": CONTROL_QUEUE},
    "mailer.ring": {"queue": CONTROL_QUEUE},
    "mailer.wake_mailing": {"queue": CONTROL_QUEUE},
    "admin_ext.*": {"queue": CONTROL_QUEUE},
}
# SIGTERM waits for the message in hand, as long as its relay takes. Asked a second time (SIGQUIT,
# Ctrl-C twice), a worker still gives it these seconds.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
# What Flower shows: a few short messages a task, and a task is a whole batch. Sent always, so that
# nothing is missing from before Flower was started; nobody listening costs next to nothing.
CELERY_WORKER_SEND_TASK_EVENTS = True
# Also when a task is asked for: a queue that nobody takes from can be seen.
CELERY_TASK_SEND_SENT_EVENT = True
# A child is replaced when it has grown past this (KiB).
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# What a worker tells of its settings: Celery's own answer holds the broker's password.
CELERY_IMPORTS = ["site_config.inspecting"]
# `1` runs every task in the process that asks for it, so that a breakpoint works. Not on a server.
CELERY_TASK_ALWAYS_EAGER = read_switch("CELERY_TASK_ALWAYS_EAGER")
CELERY_TASK_STORE_EAGER_RESULT = True
CELERY_TIMEZONE = "UTC"

# --- Results ---------------------------------------------------------------------------------
# One row per task, never one per recipient.
CELERY_RESULT_BACKEND = "django-db"
# Name, arguments and worker beside the result; and a row as soon as a task starts.
CELERY_RESULT_EXTENDED = True
CELERY_TASK_TRACK_STARTED = True
# Old rows are deleted by admin_ext.keep_house, a few thousand at a time; Celery's own clean-up is
# one transaction that times out on a large table.
CELERY_RESULT_EXPIRES = None
# How many days task results, attempts and test messages are kept.
ADMIN_EXT_KEEP_DAYS = read_count("RESULT_DAYS", 30)
# Closing the database connection around every task costs three quarters of the task rate.
CELERY_DB_REUSE_MAX = 1000

# --- Beat ------------------------------------------------------------------------------------
CELERY_BEAT_SCHEDULER = "admin_ext.scheduler:Scheduler"
# Written at every firing: after a crash nothing fires again (the default waits 180 s).
CELERY_BEAT_SYNC_EVERY = 1
# A crontab hour missed by more than this is not fired late by beat; the tick decides by the
# mailing's own missed-run policy.
CELERY_BEAT_CRON_STARTING_DEADLINE = 600
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
# Kept up to date in the database at beat's start. One that nobody took in time is worth nothing:
# the next does the same.
CELERY_BEAT_SCHEDULE = {
    "Mailroom: look for what is due, lost or forgotten": {
        "task": "mailer.tick",
        "schedule": MAILER_TICK_SECONDS,
        "options": {"queue": CONTROL_QUEUE, "expire_seconds": 15},
    },
    "Mailroom: tidy up after workers, forget old task results": {
        "task": "admin_ext.keep_house",
        "schedule": 60,
        "options": {"queue": CONTROL_QUEUE, "expire_seconds": 60},
    },
}
