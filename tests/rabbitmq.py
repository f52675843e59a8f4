"""What Celery leaves on a RabbitMQ under names that all sites share: put back as it was found."""

from urllib.parse import unquote, urlsplit

import amqp

DELAYED = "celery_delayed_delivery"  # for what is to come later, on quorum queues
LEVELS = [f"celery_delayed_{level}" for level in range(28)]


def connect(url: str) -> amqp.Connection:
    """Open; to be closed, or used in a with statement."""
    parts = urlsplit(url)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port or 5672}",
        userid=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        virtual_host=unquote(parts.path[1:]) or "/",
        connect_timeout=5,
    )
    connection.connect()
    return connection


def has_delayed_queues(url: str) -> bool:
    with connect(url) as connection:
        try:
            connection.channel().exchange_declare(DELAYED, "topic", passive=True)
        except amqp.NotFound:
            return False
        return True


def forget_delayed_queues(url: str) -> None:
    """Not while a test runs that may use them."""
    with connect(url) as connection:
        channel = connection.channel()
        for name in LEVELS:
            channel.queue_delete(name)
            channel.exchange_delete(name)
        channel.exchange_delete(DELAYED)
