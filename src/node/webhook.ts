// One JSON document posted to a URL that the operator names: bounded in time and in tries, and no redirect is followed.
import type { Clock } from "../ports.ts"

/** Between the tries, ms; one more try than there are pauses. */
const pauses = [1000, 4000, 16_000] as const
const patienceMs = 10_000

export class WebhookError extends Error {
  override readonly name = "WebhookError"
}

/**
 * @param signal gives it up
 * @throws WebhookError when it was not taken, with the last reason
 */
export async function postJson(url: URL, document: unknown, clock: Clock, signal: AbortSignal): Promise<void> {
  const body = JSON.stringify(document)
  for (let tried = 0; ; tried += 1) {
    const { again, why } = await once(url, body, clock, signal)
    if (why === undefined) return
    const pause = pauses[tried]
    if (!again || pause === undefined || signal.aborted) throw new WebhookError(`${url.origin}${url.pathname}: ${why}`)
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel()
        signal.removeEventListener("abort", end)
        resolve()
      }
      const cancel = clock.after(pause, end)
      signal.addEventListener("abort", end, { once: true })
    })
  }
}

async function once(url: URL, body: string, clock: Clock, signal: AbortSignal): Promise<{ again: boolean; why: string | undefined }> {
  const late = new AbortController()
  const cancel = clock.after(patienceMs, () => late.abort(new Error(`no answer in ${patienceMs / 1000} s`)))
  try {
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body, redirect: "manual", signal: AbortSignal.any([signal, late.signal]) })
    await response.body?.cancel()
    if (response.ok) return { again: false, why: undefined }
    // What the other side does not want it will not want later; but "not now" is no "no".
    return { again: response.status >= 500 || response.status === 429 || response.status === 408, why: `it answered ${response.status}` }
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return { again: true, why: cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause) }
  } finally {
    cancel()
  }
}
