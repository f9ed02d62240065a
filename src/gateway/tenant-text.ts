// The YAML of a tenant's file: a new one as we write it, and one setting changed in an existing one so that everything
// around it, comments included, stays as its author wrote it (docs/operating.md).
import { Document, isMap, isScalar, isSeq, parseDocument, type ToStringOptions, visit } from "yaml"
import { type Domain, DomainError, parseDomain } from "../model/domain.ts"

/** A place inside one domain's entry. */
export type DomainSetting = readonly string[]

export interface SettingChange {
  readonly path: DomainSetting
  /** Undefined: the setting goes. */
  readonly value: string | boolean | Readonly<Record<string, string | boolean>> | undefined
}

export interface NewDomain {
  readonly name: Domain
  readonly secret: Readonly<Record<string, string>>
  readonly certificate?: string
  readonly posh?: boolean
}

/** A whole file for one new domain. */
export function newTenantText({ name, secret, certificate, posh }: NewDomain): string {
  const entry = {
    name,
    component: { secret },
    ...(certificate === undefined ? {} : { certificate }),
    ...(posh === true ? { posh: { serve: true } } : {}),
  }
  const document = new Document({ domains: [entry] }, { version: "1.2" })
  document.commentBefore = " Written by `xmpp-dna ctl domain add`; it may be edited by hand as well."
  return document.toString({ lineWidth: 0 })
}

/** The ways of writing that we can write; a text that is none of them is not ours to rewrite. */
const styles: readonly ToStringOptions[] = [2, 4].flatMap((indent) =>
  [true, false].flatMap((indentSeq) => [true, false].map((flowCollectionPadding) => ({ indent, indentSeq, flowCollectionPadding, lineWidth: 0 }))),
)

/** An existing file that can be changed without disturbing anything else in it. */
export class TenantText {
  readonly #document: Document.Parsed
  readonly #style: ToStringOptions

  private constructor(document: Document.Parsed, style: ToStringOptions) {
    this.#document = document
    this.#style = style
  }

  /** Undefined: written in a way that we could not keep (aliases, several documents, folded lines and the like). */
  static read(text: string): TenantText | undefined {
    const document = parseDocument(text, { version: "1.2", prettyErrors: false, uniqueKeys: true, merge: false })
    if (document.errors.length > 0 || document.warnings.length > 0) return undefined
    let aliases = false
    visit(document, {
      Alias: () => {
        aliases = true
        return visit.BREAK
      },
    })
    if (aliases) return undefined
    const style = styles.find((each) => blanksAside(document.toString(each)) === blanksAside(text))
    return style === undefined ? undefined : new TenantText(document, style)
  }

  #entries(): readonly unknown[] {
    const list = this.#document.get("domains", true)
    return isSeq(list) ? list.items : []
  }

  get count(): number {
    return this.#entries().length
  }

  #index(domain: Domain): number {
    return this.#entries().findIndex((entry) => {
      const name = isMap(entry) ? entry.get("name", true) : undefined
      return isScalar(name) && typeof name.value === "string" && isNamed(name.value, domain)
    })
  }

  has(domain: Domain): boolean {
    return this.#index(domain) !== -1
  }

  /** The text with settings of one domain changed. */
  changed(domain: Domain, changes: readonly SettingChange[]): string {
    const entry = ["domains", this.#index(domain)]
    for (const { path, value } of changes) {
      const whole = [...entry, ...path]
      if (value === undefined) {
        if (this.#document.hasIn(whole)) this.#document.deleteIn(whole)
      } else this.#document.setIn(whole, this.#document.createNode(value, { flow: false }))
    }
    return this.#document.toString(this.#style)
  }

  /** The text without one of its domains. */
  without(domain: Domain): string {
    this.#document.deleteIn(["domains", this.#index(domain)])
    return this.#document.toString(this.#style)
  }
}

/** Blanks before a comment, inside brackets and at the end of a line mean nothing, and may change. */
function blanksAside(text: string): string {
  return text
    .replace(/(\S)[ \t]+/g, "$1 ")
    .replace(/([[{]) | (?=[\]}])/g, "$1")
    .replace(/[ \t]+$/gm, "")
    .trimEnd()
}

/** Whether a name as somebody wrote it is this domain. */
export function isNamed(written: string, domain: Domain): boolean {
  try {
    return parseDomain(written) === domain
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return false
  }
}
