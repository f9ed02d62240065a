// What a proof may use besides DNS, where a test is about something else: no web, and no address that may be dialled.
import { HttpsError } from "../../src/model/errors.ts"
import { publicInternetOnly } from "../../src/model/reach.ts"
import type { Https } from "../../src/ports.ts"

/** A web in which nobody answers. */
export const noWeb: Https = { get: async () => Promise.reject(new HttpsError("closed", "there is no web here")) }

export const withoutWeb = { https: noWeb, reach: publicInternetOnly }
