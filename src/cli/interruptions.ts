// Ctrl-C, SIGTERM and a reader who went away end a command with what there is; a second signal ends it at once.

export interface Interruptions {
  readonly signal: AbortSignal
  /** 130 or 143; undefined: not by a signal. */
  status(): number | undefined
  end(): void
}

export function interruptions(): Interruptions {
  const controller = new AbortController()
  let status: number | undefined
  const on = (code: number) => (): void => {
    status ??= code
    controller.abort(new Error("interrupted"))
  }
  const [interrupt, terminate] = [on(130), on(143)]
  const gone = (): void => controller.abort(new Error("nobody reads"))
  process.once("SIGINT", interrupt).once("SIGTERM", terminate)
  process.stdout.on("error", gone)
  return {
    signal: controller.signal,
    status: () => status,
    end: () => {
      process.off("SIGINT", interrupt).off("SIGTERM", terminate)
      process.stdout.off("error", gone)
    },
  }
}
