// How long a remote domain is left alone after a failure (CORE-05, RFC 6120 3.3): soon at first, then truncated
// exponential, always with jitter, so that many gateways do not come back at the same moment.

/** The first wait, ms, before jitter. */
const firstWait = 2000

/**
 * @param failures in a row, the one just seen included (from 1)
 * @param most `federation.retry_max`, ms
 * @param fraction 0 <= x < 1
 * @returns ms; between half of the exponential step and all of it
 */
export function retryWait(failures: number, most: number, fraction: number): number {
  const step = Math.min(most, firstWait * 2 ** Math.min(Math.max(failures, 1) - 1, 30))
  return Math.round(step * (0.5 + fraction / 2))
}
