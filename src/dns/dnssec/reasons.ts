// The reasons of the validator, made in one place so that they read alike (reasons are values).
import type { DnsReason, DnsReasonCode } from "../../model/dns-answer.ts"
import type { DnsName } from "../name.ts"
import { shownName, typeName } from "../records.ts"

export const reason = (code: DnsReasonCode, detail: string, upstream?: string): DnsReason =>
  upstream === undefined ? { code, detail } : { code, detail, upstream }

/** "SRV of _xmpp-server._tcp.a.example" */
export const shownSet = (name: DnsName, type: number): string => `${typeName(type)} of ${shownName(name)}`
