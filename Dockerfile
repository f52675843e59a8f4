# The site, its workers, beat and Flower: one image, started with different commands.
FROM python:3.13.7-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=site_config.settings.production
WORKDIR /srv/mailroom
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
# Here, because the running container writes nothing. The values only let the settings load: static
# files are the same everywhere.
RUN SECRET_KEY=build ADDRESS_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
    CREDENTIAL_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ALLOWED_HOSTS=build \
    BASE_URL=https://build.invalid DATABASE_URL=sqlite:////tmp/build.sqlite3 \
    BROKER_URL=filesystem:///tmp/build RELAY_URL=smtp://build.invalid MAIL_DOMAIN=build.invalid \
    python manage.py collectstatic --no-input
# A number, so that it can be named where users are not known. A new volume for /var/lib/mailroom
# takes over the owner of the folder it hides.
RUN groupadd --gid 10001 mailroom \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp mailroom \
    && install --directory --owner=10001 --group=10001 /var/lib/mailroom
USER 10001:10001
