// A SmartFin process of one's own, with a data folder that goes with it.
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const ROOT = new URL("../../", import.meta.url).pathname;
const SMARTFIN = join(ROOT, ".venv", "bin", "smartfin");

export class Server {
  #folder;
  #process;
  #environment;
  #port = "0";

  /** It answers already, and has taken in `bars` and `splits`, the texts of two CSV files, where they are given. */
  static async start(environment = {}, imported) {
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), "smartfin-"));
    server.#environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      SMARTFIN_DATA_DIR: join(server.#folder, "data"),
      SMARTFIN_GUEST_BUDGET: "1000000", // all tests ask from one address
      ...environment,
    };
    if (imported) await server.#import(imported);
    await server.begin();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Begin, or begin again where it was. */
  async begin() {
    this.#process = spawn(SMARTFIN, ["serve", "--port", this.#port], {
      cwd: ROOT,
      env: this.#environment,
    });
    let said = "";
    this.#process.stderr.on("data", (text) => (said = (said + text).slice(-2000)));
    for await (const line of createInterface(this.#process.stdout)) {
      const found = /GraphQL +http:\/\/\S+:(\d+)\/graphql/.exec(line);
      if (found) return void (this.#port = found[1]);
    }
    throw new Error(`It ended before it answered: ${said}`);
  }

  /** End it, and wait until it has. */
  async end(signal = "SIGTERM") {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill(signal);
    await ended;
  }

  /** End it for good. */
  async remove() {
    await this.end();
    await rm(this.#folder, { recursive: true });
  }

  async #import({ bars, splits }) {
    const files = { bars: join(this.#folder, "bars.csv"), splits: join(this.#folder, "splits.csv") };
    await writeFile(files.bars, bars);
    await writeFile(files.splits, splits);
    const command = ["import", files.bars, "--splits", files.splits];
    const done = spawnSync(SMARTFIN, command, { cwd: ROOT, env: this.#environment, encoding: "utf8" });
    if (done.status !== 0) throw new Error(done.stderr);
  }
}
