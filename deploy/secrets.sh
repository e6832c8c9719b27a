#!/bin/sh
# Makes the secrets that compose.yaml mounts, each once: what is there is kept. They belong to whoever runs this, and the servers run as that user.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets
make() { # name, then the command whose output it is
  name=$1
  shift
  [ -s "$name" ] || { "$@" >"$name.new" && mv "$name.new" "$name"; }
}
make master.key openssl rand -base64 48
make mongodb.key openssl rand -base64 516
make root.password openssl rand -hex 24
make carnet.password openssl rand -hex 24
make issuers.json printf '[]\n'
# A certificate for a trial on this machine; put that of your authority in its place.
[ -s tls.crt ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.crt 2>/dev/null
cd ..
[ -s ../.env ] || printf 'RUN_AS=%s:%s\n' "$(id -u)" "$(id -g)" >../.env
