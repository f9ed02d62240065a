// Doing the same to many things with a bound on how many are under way (a thousand files are not opened at once).

/** Files under way at the same time: enough to hide the latency of a disk. */
const filesAtOnce = 16

/**
 * Results in the order of the items. The first error ends it.
 *
 * @param work never given more than a few items at once
 */
export async function eachOf<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index]!)
    }
  }
  await Promise.all(Array.from({ length: Math.min(filesAtOnce, items.length) }, worker))
  return results
}
