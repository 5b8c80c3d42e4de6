// Graphile Worker. `graphile.js work`, or `graphile.js enqueue KIND JOBS`, which prints the seconds it took.
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const { Logger, makeWorkerUtils, run } = require("graphile-worker");

const connectionString = process.env.BENCH_URL;
const logger = new Logger(() => () => {});
const BATCH = 1000;

let starts;

// The same record as the Python handlers write: number, nanoseconds of the monotonic clock.
function note(number) {
  starts ??= fs.openSync(process.env.BENCH_STARTS, "a");
  const record = Buffer.allocUnsafe(16);
  record.writeBigInt64LE(BigInt(number), 0);
  record.writeBigInt64LE(process.hrtime.bigint(), 8);
  fs.writeSync(starts, record);
}

async function job({ kind, number }) {
  note(number);
  if (kind === "sh") await once(spawn("sh", ["-c", "true"], { stdio: "ignore" }), "exit");
}

async function work() {
  const worker = { connectionString, logger, ...JSON.parse(process.env.BENCH_OPTIONS) };
  const runner = await run({ preset: { worker }, taskList: { job } });
  await runner.promise;
}

async function enqueue(kind, jobs) {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  const begun = process.hrtime.bigint();
  for (let start = 0; start < jobs; start += BATCH) {
    const length = Math.min(BATCH, jobs - start);
    await utils.addJobs(Array.from({ length }, (_, n) => ({ identifier: "job", payload: { kind, number: start + n } })));
  }
  console.log(Number(process.hrtime.bigint() - begun) / 1e9);
  await utils.release();
}

const [mode, kind, jobs] = process.argv.slice(2);
(mode === "work" ? work() : enqueue(kind, Number(jobs))).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
