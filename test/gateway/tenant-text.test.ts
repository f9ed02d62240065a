// Changing one setting of a tenant's YAML and nothing else: comments, order and the other domains stay as they were written.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { parse } from "yaml"
import { parseDomain } from "../../src/model/domain.ts"
import { newTenantText, TenantText } from "../../src/gateway/tenant-text.ts"

const d = parseDomain
const read = (text: string): TenantText => {
  const found = TenantText.read(text)
  assert.ok(found !== undefined, text)
  return found
}

const commented = `# tenants of the east wing
domains:
  # the shop
  - name: shop.example  # since May
    component: { secret: { file: secrets/shop } }
    posh:
      serve: true
      # the contract says a day
      expires: 1d

  - name: bücher.example
    component: { secret: { env: BOOKS } }
certificates: { dirs: [certs] }
`

/** What may change in it are blanks. */
const settled = commented.replace("example  # since", "example # since").replace("[certs]", "[ certs ]")

describe("a tenant's file", () => {
  it("is changed in one place", () => {
    const text = read(commented)
    assert.deepEqual([text.count, text.has(d("shop.example")), text.has(d("xn--bcher-kva.example")), text.has(d("none.example"))], [2, true, true, false])
    const changed = text.changed(d("shop.example"), [{ path: ["posh", "expires"], value: "2d" }])
    assert.equal(changed, settled.replace("expires: 1d", "expires: 2d"))
  })
  it("gets what was not there at the end of the entry, and loses what goes", () => {
    const changed = read(commented).changed(d("bücher.example"), [{ path: ["suspended"], value: true }])
    assert.match(changed, /secret: \{ env: BOOKS \} \}\n {4}suspended: true\ncertificates/)
    assert.equal(read(changed).changed(d("bücher.example"), [{ path: ["suspended"], value: undefined }]), settled)
    assert.deepEqual(parse(read(commented).changed(d("shop.example"), [{ path: ["posh"], value: undefined }])).domains[0], { name: "shop.example", component: { secret: { file: "secrets/shop" } } })
  })
  it("takes a secret's place whole, however it was written", () => {
    for (const before of ["{ file: a }", "inline-words", "\n        file: a"]) {
      const changed = read(`domains:\n  - name: a.example\n    component:\n      secret: ${before}\n`).changed(d("a.example"), [{ path: ["component", "secret"], value: { credential: "b" } }])
      assert.deepEqual(parse(changed), { domains: [{ name: "a.example", component: { secret: { credential: "b" } } }] })
    }
  })
  it("is left alone in a layout that would not stay, and where it is no such file", () => {
    for (const text of ["domains:\n- {name:\n   a.example}\n", "a: &x 1\nb: *x\n", "domains: [\n", "--- 1\n--- 2\n", `domains:\n  - name: >-\n      a.example\n      b\n`]) assert.equal(TenantText.read(text), undefined, text)
    assert.equal(read("{}\n").count, 0)
  })
  it("also as JSON", () => {
    const changed = read('{ "domains": [ { "name": "a.example" } ] }\n').changed(d("a.example"), [{ path: ["certificate"], value: "b.example" }])
    assert.deepEqual(parse(changed), { domains: [{ name: "a.example", certificate: "b.example" }] })
  })
  it("as we write a new one can be changed and put back to the same octets", () => {
    const value = fc.string({ minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(value, value, fc.boolean(), (file, certificate, posh) => {
        const name = d("new.example")
        const fresh = newTenantText({ name, secret: { file }, certificate, posh })
        assert.deepEqual(parse(fresh), { domains: [{ name, component: { secret: { file } }, certificate, ...(posh ? { posh: { serve: true } } : {}) }] })
        const text = TenantText.read(fresh)
        // A value that needs several lines may not be kept; then it is left to its author.
        if (text === undefined) return
        const suspended = text.changed(name, [{ path: ["suspended"], value: true }])
        assert.equal(parse(suspended).domains[0].suspended, true)
        assert.equal(read(suspended).changed(name, [{ path: ["suspended"], value: undefined }]), fresh)
      }),
      { numRuns: 300 },
    )
  })
})
