// Builds dist/ from src/: JavaScript and declarations by the TypeScript compiler, and what is not code copied beside it (decision 0001).
import { spawnSync } from "node:child_process"
import { cpSync, rmSync } from "node:fs"
import { extname, join } from "node:path"

const root = join(import.meta.dirname, "..")
const tsc = join(root, "node_modules/typescript/bin/tsc")

// A file whose source is gone must not live on in the package.
rmSync(join(root, "dist"), { recursive: true, force: true })
const compiled = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: ["ignore", 2, 2] })
if (compiled.status !== 0) process.exit(compiled.status ?? 70)
cpSync(join(root, "src"), join(root, "dist"), { recursive: true, filter: (source) => extname(source) !== ".ts" })
