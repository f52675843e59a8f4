"""How mail is sent: sizes, leases, waits. All times in seconds."""

from django.core.exceptions import ImproperlyConfigured

from .environment import (
    read_callable,
    read_count,
    read_names,
    read_object,
    read_positive,
    read_relay_url,
)

# --- Sending ---------------------------------------------------------------------------------
# Deliveries in one batch, which is one Celery task.
MAILER_BATCH_SIZE = read_count("MAILER_BATCH_SIZE", 1000)
# Deliveries in one window at most, which is one transaction: what a killed process can leave
# uncertain. Not above `MAILER_BATCH_SIZE`.
MAILER_WINDOW_SIZE = read_count("MAILER_WINDOW_SIZE", 100)
if MAILER_WINDOW_SIZE > MAILER_BATCH_SIZE:
    raise ImproperlyConfigured(
        f"MAILER_WINDOW_SIZE={MAILER_WINDOW_SIZE} is larger than "
        f"MAILER_BATCH_SIZE={MAILER_BATCH_SIZE}: a batch is sent window by window."
    )
# A worker that has not renewed its lease on a batch for so many seconds is taken for dead.
MAILER_LEASE_SECONDS = read_positive("MAILER_LEASE_SECONDS", 60)
# How often the tick looks for what is due, lost or forgotten, in seconds.
MAILER_TICK_SECONDS = read_positive("MAILER_TICK_SECONDS", 15)
# A batch gives its rest back after so many seconds, so that no run holds a worker for long.
MAILER_BATCH_SECONDS = read_positive("MAILER_BATCH_SECONDS", 300)
# Seconds before a message that was refused for now is tried again (3 times as long where the reply
# is about speed or policy, 12 times for a full mailbox); doubles with each try, to 4 hours.
MAILER_RETRY_SECONDS = read_positive("MAILER_RETRY_SECONDS", 300)
# Seconds that a relay is paused after trouble with it; doubles with each in a row, to 15 minutes.
MAILER_RELAY_PAUSE_SECONDS = read_positive("MAILER_RELAY_PAUSE_SECONDS", 30)
# Seconds for the relay to take a connection, to answer a command, and to take some more of a
# message each time: a slow line is no matter, down to 16,000 octets a second.
MAILER_SMTP_TIMEOUT = read_positive("MAILER_SMTP_TIMEOUT", 60)
# Seconds for its answer after the whole message (RFC 5321 §4.5.3.2.6 asks for 600).
MAILER_SMTP_DOT_TIMEOUT = read_positive("MAILER_SMTP_DOT_TIMEOUT", 600)
# Seconds before a test message is tried again; whole ones, RabbitMQ delays by no other.
MAILER_TEST_RETRY_SECONDS = read_count("MAILER_TEST_RETRY_SECONDS", 10)
# What signs each message (DKIM): the dotted name of a function that takes the whole message as
# bytes and returns it signed: [Signing](#signing).
MAILER_SIGNER = read_callable("MAILER_SIGNER", "")

# --- Other services --------------------------------------------------------------------------
# Django e-mail backends that relays may send through, dotted names separated by commas, such as
# `anymail.backends.postmark.EmailBackend`: [Other services](#other-services). Staff choose from
# these alone.
MAILER_BACKENDS = read_names("MAILER_BACKENDS", "")
# The settings of django-anymail, a JSON object such as `{"POSTMARK_SERVER_TOKEN": "…"}`.
ANYMAIL = read_object("ANYMAIL", "")
# Where Django's own SMTP backend sends, written like `RELAY_URL`.
_smtp = read_relay_url("EMAIL_URL", "smtp://localhost:25")
EMAIL_HOST, EMAIL_PORT = _smtp.host, _smtp.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _smtp.username, _smtp.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _smtp.security == "starttls", _smtp.security == "tls"
# It has one patience for everything. Not the shorter one: giving up while the server still takes
# the message leaves it uncertain.
EMAIL_TIMEOUT = MAILER_SMTP_DOT_TIMEOUT
