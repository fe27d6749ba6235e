#!/bin/sh
# Makes the secrets that the compose files (and `kubectl create secret … --from-file=secrets/`) take, in ./secrets.
# What is there already stays as it is, so it may be run at any time: to add a provider's key, say.
#
#   sh deploy/first-run.sh                          # random secrets; the simulator answers until a provider has a key
#   OPENAI_API_KEY=sk-… sh deploy/first-run.sh      # keys of providers are taken from the environment
set -eu
cd "$(dirname "$0")/.."
# Nobody but you enters the folder. Its files may be read by all: a container sees the file alone, with the owner and mode
# it has here, and compose cannot give it to the container's user.
umask 022
mkdir -p secrets/providers
# Whoever made it: compose does, open to all, when it is started first.
chmod 700 secrets

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME TEXT: the secret NAME, unless it is there.
keep() {
    [ -s "secrets/$1" ] && return 0
    printf '%s\n' "$2" > "secrets/$1"
    echo "made secrets/$1"
}

keep postgres_password "$(random)"
keep redis_password "$(random)"
keep secret_key "$(random)"
keep admin_key "$(random)"
keep api_key "$(random)"
keep metrics_key "$(random)"
keep grafana_password "$(random)"
keep database_url "postgresql+asyncpg://steelyard:$(cat secrets/postgres_password)@postgres:5432/steelyard"
keep redis_url "redis://:$(cat secrets/redis_password)@redis:6379/0"
keep redis_conf "requirepass $(cat secrets/redis_password)"

# Keys of providers: a file each, and a line that names it.
for name in OPENAI_API_KEY ANTHROPIC_API_KEY GEMINI_API_KEY GROK_API_KEY; do
    value="$(printenv "$name" || true)"
    if [ -n "$value" ]; then
        printf '%s\n' "$value" > "secrets/providers/$name"
        echo "made secrets/providers/$name"
    fi
done
: > secrets/providers.env
for file in secrets/providers/*; do
    [ -s "$file" ] || continue
    echo "$(basename "$file")=file:/run/secrets/providers/$(basename "$file")" >> secrets/providers.env
done
[ -s secrets/providers.env ] || echo "no provider has a key: the simulator will answer, and say so"
