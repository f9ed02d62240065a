// The byte machine under the cutter: proves one stanza well-formed in place and finds its addresses (XML-01, XML-02, XML-06).
// It knows three answers: a stanza, more bytes needed, or "unusual". It never refuses anything itself: whatever it is
// not sure of is left to the tree parser, which looks at the same bytes again and decides.

/** What one call of `scan` found. */
export const scanned = { more: 0, stanza: 1, unusual: 2 } as const

/** The limits of the tree parser that matter here; reaching one is "unusual", the tree parser then counts exactly. */
export interface ScanLimits {
  readonly stanzaBytes: number
  readonly depth: number
  readonly attributes: number
  readonly declarations: number
  readonly nameLength: number
  readonly nodes: number
}

export type StanzaKind = "message" | "presence" | "iq"

// Classes of bytes. UTF-8 itself was checked for the whole chunk before.
const textByte = 1
const valueByte = 2
const nameStartByte = 4
const nameByte = 8
const spaceByte = 16

const tab = 0x09
const lf = 0x0a
const cr = 0x0d
const space = 0x20
const doubleQuote = 0x22
const ampersand = 0x26
const apostrophe = 0x27
const slash = 0x2f
const colon = 0x3a
const semicolon = 0x3b
const lessThan = 0x3c
const equals = 0x3d
const greaterThan = 0x3e
const at = 0x40
const bracket = 0x5d
/** First byte of U+F000..U+FFFF, among them the two non-characters that XML forbids. */
const highLead = 0xef

const classes = new Uint8Array(256)
for (let byte = 0; byte < 256; byte += 1) {
  const isSpace = byte === space || byte === tab || byte === lf || byte === cr
  const legal = isSpace || byte > space
  const plain = legal && byte !== lessThan && byte !== ampersand && byte !== highLead
  const letter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f
  const digit = byte >= 0x30 && byte <= 0x39
  classes[byte] =
    (plain && byte !== greaterThan ? textByte : 0) |
    (plain && byte !== doubleQuote && byte !== apostrophe ? valueByte : 0) |
    (letter ? nameStartByte : 0) |
    (letter || digit || byte === 0x2d || byte === 0x2e ? nameByte : 0) |
    (isSpace ? spaceByte : 0)
}

/** True for the four bytes that may stand between first-level elements (XML-05). */
export function isSpaceByte(byte: number): boolean {
  return (classes[byte]! & spaceByte) !== 0
}

// Where the machine stands between two calls.
const beforeStanza = 0
const inText = 1
const afterName = 2
const afterSpace = 3
const inValue = 4

// What an attribute means to us; all but `plain` and `declaration` are read on the stanza element only.
const plainAttribute = 0
const declaration = 1
const fromAttribute = 2
const toAttribute = 3
const typeAttribute = 4
const langAttribute = 5

const messageName = Buffer.from("message")
const presenceName = Buffer.from("presence")
const iqName = Buffer.from("iq")
const fromName = Buffer.from("from")
const toName = Buffer.from("to")
const typeName = Buffer.from("type")
const langName = Buffer.from("xml:lang")
const xmlnsName = Buffer.from("xmlns")
const xmlName = Buffer.from("xml")

/** Namespaces that are not payload: a stanza that names one cannot be copied raw into a stream of another kind (CORE-24). */
const contentNamespaces = ["jabber:client", "jabber:server", "jabber:component:accept"]
const reservedNamespaces = ["http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/"]
const specialNamespaces = [...contentNamespaces, ...reservedNamespaces].map((text) => Buffer.from(text))

/** The longest reference looked at here: `&#x10FFFF;`. Longer ones (leading zeros) go to the tree parser. */
const longestReference = 10

/** True when `bytes[start..]` begins with `word`; the caller has compared lengths. */
function matches(bytes: Uint8Array, start: number, word: Uint8Array): boolean {
  for (let index = 0; index < word.length; index += 1) {
    if (bytes[start + index] !== word[index]) return false
  }
  return true
}

function kindOf(bytes: Uint8Array, start: number, length: number): StanzaKind | undefined {
  if (length === 7) return matches(bytes, start, messageName) ? "message" : undefined
  if (length === 2) return matches(bytes, start, iqName) ? "iq" : undefined
  if (length === 8) return matches(bytes, start, presenceName) ? "presence" : undefined
  return undefined
}

function meaningOnStanza(bytes: Uint8Array, start: number, length: number): number {
  if (length === 2) return matches(bytes, start, toName) ? toAttribute : plainAttribute
  if (length === 4) {
    if (matches(bytes, start, fromName)) return fromAttribute
    return matches(bytes, start, typeName) ? typeAttribute : plainAttribute
  }
  return length === 8 && matches(bytes, start, langName) ? langAttribute : plainAttribute
}

/** A declaration whose value needs no thought: printable ASCII, no reference, none of the special namespaces. */
function ordinaryNamespace(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start
  if (length === 0) return false
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!
    if (byte <= space || byte >= 0x7f || byte === ampersand) return false
  }
  for (const special of specialNamespaces) {
    if (special.length === length && matches(bytes, start, special)) return false
  }
  return true
}

/** XML 1.0 production 2, for numeric references. */
function legalCharacter(code: number): boolean {
  if (code < space) return code === tab || code === lf || code === cr
  return code <= 0xd7ff || (code >= 0xe000 && code <= 0xfffd) || (code >= 0x10000 && code <= 0x10ffff)
}

function legalReference(body: string): boolean {
  // XML-01: only the five predefined entities and legal numeric references.
  if (body === "amp" || body === "lt" || body === "gt" || body === "quot" || body === "apos") return true
  if (/^#[0-9]+$/.test(body)) return legalCharacter(Number.parseInt(body.slice(1), 10))
  return /^#x[0-9a-fA-F]+$/.test(body) && legalCharacter(Number.parseInt(body.slice(2), 16))
}

/** One level less than the tree parser allows, so that the limit itself is for it to judge. */
function depthUnder(limits: ScanLimits): number {
  return Math.max(1, Math.min(limits.depth, 256) - 1)
}

function attributesUnder(limits: ScanLimits): number {
  return Math.max(1, Math.min(limits.attributes, limits.declarations, 256))
}

/**
 * Walks over one stanza. All offsets it keeps are relative to the `<` of the stanza, so that the unfinished bytes may be
 * moved between two calls. Work is linear in the bytes given: what is looked at twice is bounded by a name's length.
 */
export class StanzaScanner {
  /** The stanza found last; offsets are relative to its `<`, -1 where the attribute is absent. */
  kind: StanzaKind = "message"
  length = 0
  fromStart = -1
  fromEnd = -1
  toStart = -1
  toEnd = -1
  typeStart = -1
  typeEnd = -1
  hasLang = false

  #limits: ScanLimits
  #maxDepth: number
  #maxAttributes: number
  #state = beforeStanza
  /** Where the next call goes on. */
  #position = 0
  #depth = 0
  #nodes = 0
  /** Start and length of the names of the open elements. */
  #open: Int32Array
  /** Start and length of the attribute names of the tag being read. */
  #names: Int32Array
  #attributes = 0
  #quote = 0
  #meaning = plainAttribute
  #valueStart = 0

  /** @param limits those of the tree parser of the same stream */
  constructor(limits: ScanLimits) {
    this.#limits = limits
    this.#maxDepth = depthUnder(limits)
    this.#maxAttributes = attributesUnder(limits)
    this.#open = new Int32Array(2 * this.#maxDepth)
    this.#names = new Int32Array(2 * this.#maxAttributes)
  }

  get limits(): ScanLimits {
    return this.#limits
  }

  /** Makes it ready for another stream; only between two stanzas. */
  set limits(limits: ScanLimits) {
    if (limits === this.#limits) return
    this.#limits = limits
    this.#maxDepth = depthUnder(limits)
    this.#maxAttributes = attributesUnder(limits)
    if (this.#open.length < 2 * this.#maxDepth) this.#open = new Int32Array(2 * this.#maxDepth)
    if (this.#names.length < 2 * this.#maxAttributes) this.#names = new Int32Array(2 * this.#maxAttributes)
  }

  /** Forgets a stanza begun; the next call starts at a `<`. */
  reset(): void {
    this.#state = beforeStanza
    this.#position = 0
  }

  /**
   * Goes on with the stanza whose `<` is at `base`.
   *
   * @param bytes valid UTF-8 but for a sequence cut off at `end`; the bytes from `base` on are those of the last call and more
   * @param end where the known bytes end
   * @returns one of `scanned`; after `stanza` the fields describe it, after `unusual` the caller must `reset`
   */
  scan(bytes: Uint8Array, base: number, end: number): number {
    const open = this.#open
    let i = base + this.#position
    let state = this.#state
    let depth = this.#depth
    let quote = this.#quote
    if (state === beforeStanza) {
      depth = 0
      this.#nodes = 0
      this.#attributes = 0
      this.fromStart = this.fromEnd = this.toStart = this.toEnd = this.typeStart = this.typeEnd = -1
      this.hasLang = false
    }
    for (;;) {
      if (state <= inText) {
        // Text of an element, or the very first byte.
        while (i < end && (classes[bytes[i]!]! & textByte) !== 0) i += 1
        if (i >= end) break
        const byte = bytes[i]!
        if (byte === lessThan) {
          if (i + 1 >= end) break
          if (bytes[i + 1] === slash) {
            if (depth === 0) return scanned.unusual
            const name = base + open[2 * depth - 2]!
            const length = open[2 * depth - 1]!
            const close = i + 2 + length
            if (close >= end) break
            for (let k = 0; k < length; k += 1) {
              if (bytes[name + k] !== bytes[i + 2 + k]) return scanned.unusual
            }
            if (bytes[close] !== greaterThan) return scanned.unusual
            i = close + 1
            depth -= 1
            if (depth === 0) return this.#complete(i - base)
            continue
          }
          let j = i + 1
          if ((classes[bytes[j]!]! & nameStartByte) === 0) return scanned.unusual
          while (j < end && (classes[bytes[j]!]! & nameByte) !== 0) j += 1
          const length = j - i - 1
          if (length > this.#limits.nameLength) return scanned.unusual
          if (j >= end) break
          if (depth === 0) {
            const kind = kindOf(bytes, i + 1, length)
            if (kind === undefined) return scanned.unusual
            this.kind = kind
          }
          // An element, and the text that may stand before and after it.
          this.#nodes += 3
          if (depth >= this.#maxDepth || this.#nodes > this.#limits.nodes) return scanned.unusual
          open[2 * depth] = i + 1 - base
          open[2 * depth + 1] = length
          depth += 1
          this.#attributes = 0
          i = j
          state = afterName
        } else if (depth === 0) {
          return scanned.unusual
        } else if (byte === greaterThan) {
          // `]]>` must not stand in text; the two bytes before are of this stanza, and no markup ends in a bracket.
          if (bytes[i - 1] === bracket && bytes[i - 2] === bracket) return scanned.unusual
          i += 1
          continue
        } else {
          const next = passSpecial(bytes, i, end)
          if (next === needMore) break
          if (next === isUnusual) return scanned.unusual
          i = next
          continue
        }
      }
      if (state === afterName || state === afterSpace) {
        if (i >= end) break
        let byte = bytes[i]!
        if ((classes[byte]! & spaceByte) !== 0) {
          state = afterSpace
          i += 1
          while (i < end && (classes[bytes[i]!]! & spaceByte) !== 0) i += 1
          if (i >= end) break
          byte = bytes[i]!
        }
        if (byte === greaterThan) {
          i += 1
          state = inText
          continue
        }
        if (byte === slash) {
          if (i + 1 >= end) break
          if (bytes[i + 1] !== greaterThan) return scanned.unusual
          i += 2
          depth -= 1
          if (depth === 0) return this.#complete(i - base)
          state = inText
          continue
        }
        // A name may follow white space only.
        if (state === afterName || (classes[byte]! & nameStartByte) === 0) return scanned.unusual
        let j = i + 1
        while (j < end && (classes[bytes[j]!]! & nameByte) !== 0) j += 1
        let prefixed = false
        if (j < end && bytes[j] === colon) {
          // The prefix `xml` needs no declaration; every other one is for the tree parser.
          if (j - i !== 3 || !matches(bytes, i, xmlName)) return scanned.unusual
          prefixed = true
          j += 1
          if (j < end && (classes[bytes[j]!]! & nameStartByte) === 0) return scanned.unusual
          while (j < end && (classes[bytes[j]!]! & nameByte) !== 0) j += 1
        }
        const length = j - i
        if (length > this.#limits.nameLength) return scanned.unusual
        if (j + 1 >= end) break
        quote = bytes[j + 1]!
        if (bytes[j] !== equals || (quote !== doubleQuote && quote !== apostrophe)) return scanned.unusual
        if (!this.#newName(bytes, base, i, length)) return scanned.unusual
        let meaning = plainAttribute
        if (length === 5 && !prefixed && matches(bytes, i, xmlnsName)) {
          // A first-level element that declares a default namespace is either not a stanza or named as one explicitly.
          if (depth === 1) return scanned.unusual
          meaning = declaration
        } else if (depth === 1) {
          meaning = meaningOnStanza(bytes, i, length)
        }
        this.#meaning = meaning
        this.#quote = quote
        i = j + 2
        this.#valueStart = i - base
        state = inValue
      }
      // Inside an attribute value.
      while (i < end && (classes[bytes[i]!]! & valueByte) !== 0) i += 1
      if (i >= end) break
      const byte = bytes[i]!
      if (byte === quote) {
        if (this.#meaning !== plainAttribute && !this.#note(bytes, base, i)) return scanned.unusual
        i += 1
        state = afterName
      } else if (byte === doubleQuote || byte === apostrophe) {
        i += 1
      } else {
        if (byte === lessThan) return scanned.unusual
        const next = passSpecial(bytes, i, end)
        if (next === needMore) break
        if (next === isUnusual) return scanned.unusual
        i = next
      }
    }
    // XML-06: the limit is enforced while bytes come, not when the stanza is whole.
    if (end - base > this.#limits.stanzaBytes) return scanned.unusual
    this.#position = i - base
    this.#state = state
    this.#depth = depth
    return scanned.more
  }

  #complete(length: number): number {
    if (length > this.#limits.stanzaBytes) return scanned.unusual
    this.length = length
    this.#state = beforeStanza
    this.#position = 0
    return scanned.stanza
  }

  /** Notes an attribute name; false when the tag has it already (XML-02) or has too many. */
  #newName(bytes: Uint8Array, base: number, start: number, length: number): boolean {
    const names = this.#names
    const count = this.#attributes
    if (count >= this.#maxAttributes) return false
    const first = bytes[start]
    for (let k = 0; k < count; k += 1) {
      if (names[2 * k + 1] !== length) continue
      const other = base + names[2 * k]!
      if (bytes[other] !== first) continue
      let same = 1
      while (same < length && bytes[other + same] === bytes[start + same]) same += 1
      if (same === length) return false
    }
    names[2 * count] = start - base
    names[2 * count + 1] = length
    this.#attributes = count + 1
    return true
  }

  /** Takes down a finished value that matters; false when the tree parser should look at it. */
  #note(bytes: Uint8Array, base: number, end: number): boolean {
    const start = base + this.#valueStart
    switch (this.#meaning) {
      case declaration:
        return ordinaryNamespace(bytes, start, end)
      case langAttribute:
        this.hasLang = true
        return true
      case typeAttribute:
        this.typeStart = start - base
        this.typeEnd = end - base
        return true
      default:
        return this.#noteAddress(bytes, base, start, end)
    }
  }

  /** RFC 7622 3.1: the resource begins at the first slash; then the local part ends at the first `@` (security.md 23). */
  #noteAddress(bytes: Uint8Array, base: number, start: number, end: number): boolean {
    let domainStart = start
    let domainEnd = start
    let local = false
    for (; domainEnd < end; domainEnd += 1) {
      const byte = bytes[domainEnd]!
      if (byte === slash) break
      if (byte === at && !local) {
        local = true
        domainStart = domainEnd + 1
      } else if (byte <= space || byte === ampersand) {
        return false
      }
    }
    for (let index = domainEnd; index < end; index += 1) {
      // White space is normalised and references are replaced before an address is read: not here.
      const byte = bytes[index]!
      if (byte < space || byte === ampersand) return false
    }
    if (this.#meaning === fromAttribute) {
      this.fromStart = domainStart - base
      this.fromEnd = domainEnd - base
    } else {
      this.toStart = domainStart - base
      this.toEnd = domainEnd - base
    }
    return true
  }
}

const needMore = -1
const isUnusual = -2

/** Passes a reference or a character of U+F000..U+FFFF at `i`; the index behind it, `needMore` or `isUnusual`. */
function passSpecial(bytes: Uint8Array, i: number, end: number): number {
  const byte = bytes[i]!
  if (byte === ampersand) {
    const limit = Math.min(end, i + longestReference)
    let j = i + 1
    while (j < limit && bytes[j] !== semicolon) j += 1
    if (j >= limit) return limit === end && end < i + longestReference ? needMore : isUnusual
    let body = ""
    for (let k = i + 1; k < j; k += 1) body += String.fromCharCode(bytes[k]!)
    return legalReference(body) ? j + 1 : isUnusual
  }
  if (byte === highLead) {
    if (i + 2 >= end) return needMore
    // U+FFFE and U+FFFF are no characters (XML 1.0 production 2).
    return bytes[i + 1] === 0xbf && bytes[i + 2]! >= 0xbe ? isUnusual : i + 3
  }
  return isUnusual
}
