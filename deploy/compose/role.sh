# Run once, by the first start of Postgres on an empty volume. Our role is not the superuser: row-level security binds it.
psql --set=ON_ERROR_STOP=1 --set=password="$POSTGRES_PASSWORD" --username=postgres <<'SQL'
CREATE ROLE contactsync LOGIN PASSWORD :'password';
CREATE DATABASE contactsync OWNER contactsync;
SQL
