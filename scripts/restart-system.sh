#!/bin/bash
# Deja el sistema como nuevo: PostgreSQL en Docker, un servidor y un worker de este árbol.

cd "$(dirname "$0")/.." || exit 1
RUN_DIR=${HODEI_RUN_DIR:-/tmp}
PUERTO=${HODEI_GRPC_PORT:-50051}
PUERTO_PG=${HODEI_POSTGRES_PORT:-5432}

fallo() { echo "❌ $1"; exit 1; }

# Espera a que una orden tenga éxito, 30 segundos como mucho.
esperar() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }

./scripts/clean-system.sh || exit 1

echo "🚀 Reiniciando sistema..."

# 1. Levantar PostgreSQL si no está corriendo
if ! docker ps | grep -q hodei-jobs-postgres; then
    echo "  - Levantando PostgreSQL..."
    if docker ps -a | grep -q hodei-jobs-postgres; then
        docker start hodei-jobs-postgres >/dev/null || fallo "el contenedor hodei-jobs-postgres no arranca"
    else
        docker run -d --name hodei-jobs-postgres \
            -e POSTGRES_PASSWORD=postgres \
            -e POSTGRES_USER=postgres \
            -e POSTGRES_DB=postgres \
            -p "127.0.0.1:$PUERTO_PG:5432" \
            "${HODEI_POSTGRES_IMAGE:-postgres:16-alpine}" >/dev/null || fallo "PostgreSQL no arranca"
    fi
fi
esperar docker exec hodei-jobs-postgres psql -U postgres -c "SELECT 1" || fallo "PostgreSQL no responde"

# 2. Esquema: antes que nada de lo que se inserta
echo "  - Aplicando esquema..."
docker exec -i hodei-jobs-postgres psql -q -U postgres -v ON_ERROR_STOP=1 <schema.sql 2>&1 | grep -v "NOTICE"
[ "${PIPESTATUS[0]}" = 0 ] || fallo "schema.sql no se ha aplicado"

# 3. Configurar provider Docker
echo "  - Configurando provider Docker..."
docker exec hodei-jobs-postgres psql -q -U postgres -v ON_ERROR_STOP=1 -c "
INSERT INTO provider_configs (id, name, provider_type, config, status, priority, max_workers, tags, metadata)
VALUES (
  'a1b2c3d4-e5f6-7890-abcd-ef1234567890',
  'Docker',
  'Docker',
  '{\"socket_path\": \"/var/run/docker.sock\"}',
  'ACTIVE',
  0,
  10,
  '[]'::jsonb,
  '{}'::jsonb
) ON CONFLICT (id) DO UPDATE SET
  name = EXCLUDED.name,
  config = EXCLUDED.config,
  status = EXCLUDED.status,
  updated_at = now();
" || fallo "el provider no se ha configurado"

# 4. Crear bootstrap token
echo "  - Creando bootstrap token..."
TOKEN=$(docker exec hodei-jobs-postgres psql -q -U postgres -t -v ON_ERROR_STOP=1 -c "
INSERT INTO worker_bootstrap_tokens (token, worker_id, expires_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now() + interval '1 hour')
RETURNING token;
" | xargs)
[ -n "$TOKEN" ] || fallo "no hay token"

# 5. Levantar servidor
echo "  - Levantando servidor..."
DATABASE_URL="${DATABASE_URL:-postgres://postgres:postgres@localhost:$PUERTO_PG/postgres}" \
    bin/hodei-server --grpc "127.0.0.1:$PUERTO" >"$RUN_DIR/server.log" 2>&1 &
SERVER_PID=$!
echo $SERVER_PID >"$RUN_DIR/hodei-server.pid"
esperar grep -q "hodei-server is ready" "$RUN_DIR/server.log" || fallo "el servidor no arranca: $(tail -3 "$RUN_DIR/server.log")"
echo "    Servidor PID: $SERVER_PID"

# 6. Levantar worker
echo "  - Levantando worker..."
# La base de datos es cosa del servidor: al worker, cuyo entorno pueden leer sus jobs, no le llega ninguna.
for VARIABLE in $(compgen -e); do
    case $VARIABLE in DATABASE_URL* | HODEI_*_URL* | PG*) unset "$VARIABLE" ;; esac
done
HODEI_OTP_TOKEN=$TOKEN HODEI_SERVER_ADDRESS=localhost:$PUERTO \
    bin/hodei-worker >"$RUN_DIR/worker.log" 2>&1 &
WORKER_PID=$!
echo $WORKER_PID >"$RUN_DIR/hodei-worker.pid"
esperar grep -q "connected to" "$RUN_DIR/worker.log" || fallo "el worker no se registra: $(tail -3 "$RUN_DIR/worker.log")"
echo "    Worker PID: $WORKER_PID"

echo ""
echo "✅ Sistema reiniciado"
echo "   Token: $TOKEN"
echo "   Server PID: $SERVER_PID"
echo "   Worker PID: $WORKER_PID"
