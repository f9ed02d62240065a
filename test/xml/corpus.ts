// Hostile and legal documents for the stream parser, as a table (RFC 6120 11; XML-01..06, CORE-12).
// Classes: restricted (XML-01), characters (XML-03), well-formedness and namespaces (XML-02), the declaration (XML-04), limits (XML-06).
import { Buffer } from "node:buffer"
import type { XmlCondition } from "../../src/xml/errors.ts"
import type { XmlLimits } from "../../src/xml/parser.ts"

export type CorpusClass = "accept" | "restricted" | "chars" | "utf8" | "namespaces" | "wellFormed" | "limits"

export interface CorpusCase {
  readonly group: CorpusClass
  readonly name: string
  readonly document: Buffer
  /** The stream error condition the document must end in; undefined if all of it is accepted. */
  readonly condition?: XmlCondition
  /** Bytes of the document needed to decide: the last of them is the first one at which no continuation could be accepted. */
  readonly decidedAfter?: number
  /** Result wanted of accepted first-level elements: the text of each, attribute values in brackets before it. */
  readonly reads?: readonly string[]
  readonly limits?: Partial<XmlLimits>
}

export const header =
  "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='a.example' to='b.example' version='1.0'>"
const footer = "</stream:stream>"

/** Latin-1 escapes in the source stand for raw bytes here. */
function raw(text: string): Buffer {
  return Buffer.from(text, "latin1")
}

function utf8(text: string): Buffer {
  return Buffer.from(text, "utf8")
}

function inside(content: string | Buffer): Buffer {
  return Buffer.concat([utf8(header), typeof content === "string" ? utf8(content) : content, utf8(footer)])
}

/** A first-level element refused at its last byte given; whatever follows does not matter. */
function refusedAt(
  group: CorpusClass,
  name: string,
  content: string | Buffer,
  condition: XmlCondition,
  limits?: Partial<XmlLimits>,
): CorpusCase {
  const bytes = typeof content === "string" ? utf8(content) : content
  const document = Buffer.concat([utf8(header), bytes, utf8("</m>"), utf8(footer)])
  return { group, name, document, condition, decidedAfter: header.length + bytes.length, ...(limits === undefined ? {} : { limits }) }
}

function refused(group: CorpusClass, name: string, document: string | Buffer, condition: XmlCondition): CorpusCase {
  return { group, name, document: typeof document === "string" ? utf8(document) : document, condition }
}

function accepted(name: string, content: string | Buffer, ...reads: string[]): CorpusCase {
  return { group: "accept", name, document: inside(content), reads }
}

function document(name: string, whole: string): CorpusCase {
  return { group: "accept", name, document: utf8(whole), reads: [] }
}

const accept: CorpusCase[] = [
  document("header without XML declaration", `${header}${footer}`),
  document("XML declaration", `<?xml version='1.0'?>${header}${footer}`),
  document("XML declaration with encoding", `<?xml version="1.0" encoding="UTF-8"?>\n${header}${footer}`),
  document("encoding in lower case", `<?xml version='1.0' encoding='utf-8' ?>${header}${footer}`),
  document("standalone is ignored", `<?xml version='1.0' encoding='UTF-8' standalone='no'?>${header}${footer}`),
  document("standalone without encoding", `<?xml\tversion = '1.0'\r\nstandalone="yes"?>${header}${footer}`),
  document("white space before the header", ` \r\n\t${header}${footer}`),
  document("stream element without prefix", "<stream xmlns='http://etherx.jabber.org/streams' version='1.0'></stream >"),
  document("empty stream element", "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>"),
  document("white space after the end", `${header}${footer}\n \t\r`),
  accepted("simple stanza", "<message to='b.example'><body>hi</body></message>", "[b.example]hi"),
  accepted("keep-alive white space", " \n\t\r\n<m/> <m/>\n", "", ""),
  accepted("empty-element tag with space", "<m a='1' />", "[1]"),
  accepted("both quotation marks", `<m a="it's" b='"'/>`, `[it's|"]`),
  accepted("predefined entities", "<m a='&lt;&amp;&gt;'>&lt;&gt;&amp;&quot;&apos;</m>", "[<&>]<>&\"'"),
  accepted("decimal and hexadecimal references", "<m>&#65;&#x42;&#x1F600;&#233;</m>", "AB😀é"),
  accepted("references with leading zeros", "<m>&#0000000000000000000000065;&#x0000000041;</m>", "AA"),
  accepted("white space by reference survives", "<m a='&#9;&#10;&#13;'>&#13;</m>", "[\t\n\r]\r"),
  accepted("attribute white space becomes spaces", "<m a='1\t2\n3\r\n4\r5'/>", "[1 2 3 4 5]"),
  accepted("line ends in text", "<m>1\r\n2\r3\n4\r\r\n5\r</m>", "1\n2\n3\n4\n\n5\n"),
  accepted("CDATA is text", "<m>a<![CDATA[<b>&amp;]]>c</m>", "a<b>&amp;c"),
  accepted("CDATA with brackets", "<m><![CDATA[]]]]]><![CDATA[>]]></m>", "]]]>"),
  accepted("empty CDATA", "<m><![CDATA[]]></m>", ""),
  accepted("CDATA with line ends and a greater-than", "<m><![CDATA[>\r\n]>]]\r]]></m>", ">\n]>]]\n"),
  accepted("brackets in text", "<m>]] > ]]&gt; ]></m>", "]] > ]]> ]>"),
  accepted("greater-than in an attribute", "<m a='>]]>/'/>", "[>]]>/]"),
  accepted("two, three and four byte characters", "<m a='é€😀'>žЖ漢𐍈</m>", "[é€😀]žЖ漢𐍈"),
  accepted("names beyond ASCII", "<日本語 é='1' ñ·̀='2'>x</日本語>", "[1|2]x"),
  accepted(
    "last characters of the planes",
    "<m>\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}</m>",
    "\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}",
  ),
  accepted("C1 controls and delete are allowed", "<m>\u007f\u0080\u0085\u009f</m>", "\u007f\u0080\u0085\u009f"),
  accepted("byte order mark inside text is a character", "<m>\ufeff</m>", "\ufeff"),
  accepted("attribute called __proto__", "<m __proto__='1' constructor='2'/>", "[1|2]"),
  accepted("prefix called __proto__", "<m xmlns:__proto__='urn:x' __proto__:a='1'/>", "[1]"),
  accepted("namespace undeclared and declared again", "<m><a xmlns=''><b xmlns='urn:b'/></a></m>", ""),
  accepted("prefix bound anew inside", "<p:m xmlns:p='urn:1'><p:m xmlns:p='urn:2'/><p:n/></p:m>", ""),
  accepted("same local name in two namespaces", "<m xmlns:p='urn:1' xmlns:q='urn:2' p:a='1' q:a='2' a='3'/>", "[1|2|3]"),
  accepted("xml:lang", "<m xml:lang='de'>x</m>", "[de]x"),
  accepted("xml prefix declared as itself", "<m xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", ""),
  accepted("names with points, hyphens, digits", "<a-b.c_1 x-1.2='y'/>", "[y]"),
  accepted("space around equals and in an end tag", "<m a \n=\t'1'></m \r\n>", "[1]"),
]

const restricted: CorpusCase[] = [
  refusedAt("restricted", "comment", "<m><!-", "restricted-xml"),
  refusedAt("restricted", "comment between stanzas", "<!-", "restricted-xml"),
  refused("restricted", "comment before the header", `<!-- x -->${header}`, "restricted-xml"),
  refusedAt("restricted", "processing instruction", "<m><?", "restricted-xml"),
  refusedAt("restricted", "processing instruction between stanzas", "<?", "restricted-xml"),
  refused("restricted", "style sheet before the header", `<?xml-stylesheet href='x'?>${header}`, "restricted-xml"),
  refused("restricted", "processing instruction before the header", `<?php x?>${header}`, "restricted-xml"),
  refused("restricted", "processing instruction after the declaration", `<?xml version='1.0'?><?x y?>${header}`, "restricted-xml"),
  refused("restricted", "second XML declaration", `<?xml version='1.0'?><?xml version='1.0'?>${header}`, "restricted-xml"),
  refused("restricted", "XML declaration after white space", ` <?xml version='1.0'?>${header}`, "restricted-xml"),
  refusedAt("restricted", "XML declaration between stanzas", "<?", "restricted-xml"),
  refused("restricted", "document type", `<!DOCTYPE stream>${header}`, "restricted-xml"),
  refused("restricted", "document type after the declaration", `<?xml version='1.0'?><!DOCTYPE s SYSTEM 'x'>${header}`, "restricted-xml"),
  refused(
    "restricted",
    "billion laughs",
    `<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>${header}<m>&b;</m>`,
    "restricted-xml",
  ),
  refused("restricted", "external entity", `<!DOCTYPE f [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>${header}<m>&x;</m>`, "restricted-xml"),
  refusedAt("restricted", "document type inside an element", "<m><!D", "restricted-xml"),
  refusedAt("restricted", "entity declaration inside an element", "<m><!E", "restricted-xml"),
  refusedAt("restricted", "other entity in text", "<m>&n", "restricted-xml"),
  refusedAt("restricted", "other entity in an attribute", "<m a='&x", "restricted-xml"),
  refusedAt("restricted", "entity that begins like a predefined one", "<m>&ampe", "restricted-xml"),
  refusedAt("restricted", "entity shorter than a predefined one", "<m>&am;", "restricted-xml"),
  refusedAt("restricted", "entity in another case", "<m>&A", "restricted-xml"),
  refused("restricted", "entity with a name beyond ASCII", inside("<m>&é;</m>"), "restricted-xml"),
]

const controls = [0x00, 0x01, 0x07, 0x08, 0x0b, 0x0c, 0x0e, 0x1b, 0x1f]
const hex = (byte: number): string => byte.toString(16).padStart(2, "0")

const chars: CorpusCase[] = [
  ...controls.map((byte) => refusedAt("chars", `control ${hex(byte)} in text`, raw(`<m>x${String.fromCharCode(byte)}`), "not-well-formed")),
  ...[0x00, 0x0b, 0x1f].map((byte) =>
    refusedAt("chars", `control ${hex(byte)} in an attribute`, raw(`<m a='${String.fromCharCode(byte)}`), "not-well-formed"),
  ),
  ...[0x00, 0x08].map((byte) =>
    refusedAt("chars", `control ${hex(byte)} in CDATA`, raw(`<m><![CDATA[${String.fromCharCode(byte)}`), "not-well-formed"),
  ),
  refusedAt("chars", "NUL in a tag", raw("<m \0"), "not-well-formed"),
  refusedAt("chars", "NUL in a name", raw("<m\0"), "not-well-formed"),
  refusedAt("chars", "NUL between stanzas", raw("\0"), "not-well-formed"),
  refused("chars", "U+FFFE in text", inside("<m>\ufffe</m>"), "not-well-formed"),
  refused("chars", "U+FFFF in text", inside("<m>\uffff</m>"), "not-well-formed"),
  refused("chars", "U+FFFE in an attribute", inside("<m a='\ufffe'/>"), "not-well-formed"),
  refused("chars", "U+FFFF in CDATA", inside("<m><![CDATA[\uffff]]></m>"), "not-well-formed"),
  refusedAt("chars", "reference to NUL", "<m>&#0;", "not-well-formed"),
  refusedAt("chars", "reference to a control", "<m>&#x1F;", "not-well-formed"),
  refusedAt("chars", "reference to a surrogate", "<m>&#xD800;", "not-well-formed"),
  refusedAt("chars", "references that would join to a pair", "<m>&#xD83D;", "not-well-formed"),
  refusedAt("chars", "reference to U+FFFE", "<m>&#65534;", "not-well-formed"),
  refusedAt("chars", "reference beyond Unicode", "<m>&#x110000", "not-well-formed"),
  refusedAt("chars", "reference that overflows 32 bits", "<m>&#4294967", "not-well-formed"),
  refusedAt("chars", "reference to a control in an attribute", "<m a='&#8;", "not-well-formed"),
  refusedAt("chars", "reference without digits", "<m>&#;", "not-well-formed"),
  refusedAt("chars", "hexadecimal reference without digits", "<m>&#x;", "not-well-formed"),
  refusedAt("chars", "capital X in a reference", "<m>&#X", "not-well-formed"),
  refusedAt("chars", "letter in a decimal reference", "<m>&#6a", "not-well-formed"),
  refusedAt("chars", "letter beyond F in a reference", "<m>&#x4g", "not-well-formed"),
  refusedAt("chars", "sign in a reference", "<m>&#-", "not-well-formed"),
]

const utf8Cases: CorpusCase[] = [
  refusedAt("utf8", "stray continuation byte", raw("<m>\x80"), "unsupported-encoding"),
  refusedAt("utf8", "overlong slash, two bytes", raw("<m>\xc0"), "unsupported-encoding"),
  refusedAt("utf8", "overlong NUL", raw("<m>\xc1"), "unsupported-encoding"),
  refused("utf8", "overlong, three bytes", inside(raw("<m>\xe0\x80\xaf</m>")), "unsupported-encoding"),
  refused("utf8", "overlong, four bytes", inside(raw("<m>\xf0\x80\x80\xaf</m>")), "unsupported-encoding"),
  refused("utf8", "surrogate", inside(raw("<m>\xed\xa0\x80</m>")), "unsupported-encoding"),
  refused("utf8", "surrogate pair (CESU-8)", inside(raw("<m>\xed\xa0\xbd\xed\xb8\x80</m>")), "unsupported-encoding"),
  refused("utf8", "beyond U+10FFFF", inside(raw("<m>\xf4\x90\x80\x80</m>")), "unsupported-encoding"),
  refusedAt("utf8", "five byte form", raw("<m>\xf8"), "unsupported-encoding"),
  refusedAt("utf8", "byte FF", raw("<m>\xff"), "unsupported-encoding"),
  refused("utf8", "two byte character cut by a tag", inside(raw("<m>\xc3</m>")), "unsupported-encoding"),
  refused("utf8", "three byte character cut by a tag", inside(raw("<m>\xe2\x82</m>")), "unsupported-encoding"),
  refused("utf8", "four byte character cut by a tag", inside(raw("<m>\xf0\x9f\x98</m>")), "unsupported-encoding"),
  refusedAt("utf8", "Latin-1 in an attribute", raw("<m a='\xfc"), "unsupported-encoding"),
  refused("utf8", "Latin-1 e acute before ASCII in an attribute", inside(raw("<m a='caf\xe9'/>")), "unsupported-encoding"),
  refusedAt("utf8", "invalid byte in CDATA", raw("<m><![CDATA[\xfe"), "unsupported-encoding"),
  refusedAt("utf8", "invalid byte in a name", raw("<m\x80"), "unsupported-encoding"),
  refusedAt("utf8", "invalid byte in an attribute name", raw("<m a\xff"), "unsupported-encoding"),
  refusedAt("utf8", "invalid byte between stanzas", raw("\xff"), "unsupported-encoding"),
  refused("utf8", "UTF-16 with byte order mark, big endian", raw("\xfe\xff\0<\0s\0t\0r"), "unsupported-encoding"),
  refused("utf8", "UTF-16 with byte order mark, little endian", raw("\xff\xfe<\0s\0t\0r\0"), "unsupported-encoding"),
  refused("utf8", "UTF-16 without byte order mark", raw("<\0s\0t\0r\0e\0"), "not-well-formed"),
  refused("utf8", "UTF-8 byte order mark", `\ufeff${header}`, "not-well-formed"),
  refused("utf8", "declared UTF-16", `<?xml version='1.0' encoding='UTF-16'?>${header}`, "unsupported-encoding"),
  refused("utf8", "declared ISO-8859-1", `<?xml version='1.0' encoding='ISO-8859-1'?>${header}`, "unsupported-encoding"),
  refused("utf8", "declared UTF-7", `<?xml version='1.0' encoding="UTF-7"?>${header}`, "unsupported-encoding"),
  refused("utf8", "declared with a space behind", `<?xml version='1.0' encoding='UTF-8 '?>${header}`, "unsupported-encoding"),
]

const xmlNs = "http://www.w3.org/XML/1998/namespace"
const xmlnsNs = "http://www.w3.org/2000/xmlns/"

const namespaces: CorpusCase[] = [
  refusedAt("namespaces", "prefix of an element not declared", "<p:m>", "not-well-formed"),
  refusedAt("namespaces", "prefix of an attribute not declared", "<m p:a='1'>", "not-well-formed"),
  refusedAt("namespaces", "prefix of an empty element not declared", "<m><p:x/>", "not-well-formed"),
  refusedAt("namespaces", "prefix declared by a sibling only", "<m><a xmlns:p='urn:p'/><p:b>", "not-well-formed"),
  refusedAt("namespaces", "prefix undeclared", "<m xmlns:p=''", "not-well-formed"),
  refusedAt("namespaces", "xml bound to another namespace", "<m xmlns:xml='urn:x'", "not-well-formed"),
  refusedAt("namespaces", "another prefix bound to the xml namespace", `<m xmlns:p='${xmlNs}'`, "not-well-formed"),
  refusedAt("namespaces", "xml namespace as the default one", `<m xmlns='${xmlNs}'`, "not-well-formed"),
  refusedAt("namespaces", "prefix xmlns declared", `<m xmlns:xmlns='${xmlnsNs}'`, "not-well-formed"),
  refusedAt("namespaces", "prefix bound to the xmlns namespace", `<m xmlns:p='${xmlnsNs}'`, "not-well-formed"),
  refusedAt("namespaces", "xmlns namespace as the default one", `<m xmlns='${xmlnsNs}'`, "not-well-formed"),
  refusedAt("namespaces", "element with prefix xmlns", "<xmlns:m>", "not-well-formed"),
  refusedAt(
    "namespaces",
    "two prefixes, one namespace, one name",
    "<m xmlns:p='urn:x' xmlns:q='urn:x' p:a='1' q:a='2'>",
    "not-well-formed",
  ),
  refusedAt(
    "namespaces",
    "two prefixes, one namespace, among many attributes",
    `<m xmlns:p='urn:x' xmlns:q='urn:x' ${Array.from({ length: 30 }, (_, i) => `p:a${i}=''`).join(" ")} q:a7=''>`,
    "not-well-formed",
  ),
  refusedAt("namespaces", "same namespace by references", "<m xmlns:p='urn:x' xmlns:q='urn:&#120;' p:a='1' q:a='2'/>", "not-well-formed"),
  refusedAt("namespaces", "default namespace declared twice", "<m xmlns='urn:a' xmlns=", "not-well-formed"),
  refusedAt("namespaces", "prefix declared twice", "<m xmlns:p='urn:a' xmlns:p=", "not-well-formed"),
  refusedAt("namespaces", "name that starts with a colon", "<:", "not-well-formed"),
  refusedAt("namespaces", "name that ends in a colon", "<p:>", "not-well-formed"),
  refusedAt("namespaces", "name with two colons", "<p:a:", "not-well-formed"),
  refusedAt("namespaces", "local name that starts with a hyphen", "<p:-", "not-well-formed"),
  refusedAt("namespaces", "local name that starts with a digit", "<m p:7", "not-well-formed"),
  refusedAt("namespaces", "declaration of an empty prefix", "<m xmlns:=", "not-well-formed"),
  refusedAt("namespaces", "prefix of the opening tag only", "<p:m xmlns:p='urn:p'></m", "not-well-formed"),
  refusedAt("namespaces", "other prefix of the same namespace in the end tag", "<p:m xmlns:p='u' xmlns:q='u'></q", "not-well-formed"),
  refusedAt("namespaces", "content namespace with a prefix", "<foo:message xmlns:foo='jabber:server'>", "bad-namespace-prefix"),
  refusedAt("namespaces", "other content namespace with a prefix", "<m><c:body xmlns:c='jabber:client'/>", "bad-namespace-prefix"),
  refusedAt("namespaces", "component namespace with a prefix", "<c:m xmlns:c='jabber:component:accept'/>", "bad-namespace-prefix"),
]

const wellFormed: CorpusCase[] = [
  refusedAt("wellFormed", "end tag of another element", "<m></n", "not-well-formed"),
  refusedAt("wellFormed", "end tag that is longer", "<m></mm", "not-well-formed"),
  refusedAt("wellFormed", "end tag that is shorter", "<message></m>", "not-well-formed"),
  refusedAt("wellFormed", "end tag in another case", "<m></M", "not-well-formed"),
  refusedAt("wellFormed", "crossed tags", "<m><a><b></a", "not-well-formed"),
  refusedAt("wellFormed", "stream closed inside a stanza", "<m></s", "not-well-formed"),
  refusedAt("wellFormed", "end tag of nothing", "</m", "not-well-formed"),
  refusedAt("wellFormed", "attribute in an end tag", "<m></m a", "not-well-formed"),
  refusedAt("wellFormed", "space before an end tag's name", "<m></ ", "not-well-formed"),
  refusedAt("wellFormed", "space before a name", "< ", "not-well-formed"),
  refusedAt("wellFormed", "empty tag", "<>", "not-well-formed"),
  refusedAt("wellFormed", "name that starts with a digit", "<1", "not-well-formed"),
  refusedAt("wellFormed", "name that starts with a hyphen", "<-", "not-well-formed"),
  refusedAt("wellFormed", "name that starts with a point", "<m .", "not-well-formed"),
  refused("wellFormed", "name that starts with a combining mark", inside("<\u0301m/>"), "not-well-formed"),
  refused("wellFormed", "multiplication sign in a name", inside("<m\u00d7/>"), "not-well-formed"),
  refusedAt("wellFormed", "attribute twice", "<m a='1' a=", "not-well-formed"),
  refusedAt(
    "wellFormed",
    "attribute twice among many",
    `<m ${Array.from({ length: 40 }, (_, i) => `a${i}=''`).join(" ")} a7=`,
    "not-well-formed",
  ),
  refusedAt("wellFormed", "attribute without value", "<m a>", "not-well-formed"),
  refusedAt("wellFormed", "attribute without quotation marks", "<m a=1", "not-well-formed"),
  refusedAt("wellFormed", "attribute without name", "<m =", "not-well-formed"),
  refusedAt("wellFormed", "attributes without space between", "<m a='1'b", "not-well-formed"),
  refusedAt("wellFormed", "less-than in an attribute", "<m a='<", "not-well-formed"),
  refusedAt("wellFormed", "space in an empty-element tag's end", "<m/ ", "not-well-formed"),
  refusedAt("wellFormed", "slash before an attribute", "<m/a", "not-well-formed"),
  refusedAt("wellFormed", "double less-than", "<<", "not-well-formed"),
  refusedAt("wellFormed", "ampersand alone", "<m>a & ", "not-well-formed"),
  refusedAt("wellFormed", "empty reference", "<m>&;", "not-well-formed"),
  refusedAt("wellFormed", "reference without semicolon", "<m>&amp ", "not-well-formed"),
  refusedAt("wellFormed", "reference cut by a tag", "<m>&lt<", "not-well-formed"),
  refusedAt("wellFormed", "reference cut by the end of a value", "<m a='&lt'", "not-well-formed"),
  refusedAt("wellFormed", "end of CDATA in text", "<m>a]]>", "not-well-formed"),
  refusedAt("wellFormed", "end of CDATA behind CDATA", "<m><![CDATA[]]>]]>", "not-well-formed"),
  refusedAt("wellFormed", "three brackets in text", "<m>]]]>", "not-well-formed"),
  refusedAt("wellFormed", "CDATA in small letters", "<m><![c", "not-well-formed"),
  refusedAt("wellFormed", "CDATA with a space", "<m><![CDATA ", "not-well-formed"),
  refusedAt("wellFormed", "exclamation mark alone", "<m><!>", "not-well-formed"),
  refusedAt("wellFormed", "text between stanzas", "x", "bad-format"),
  refusedAt("wellFormed", "reference between stanzas", "&", "bad-format"),
  refusedAt("wellFormed", "CDATA between stanzas", "<![", "bad-format"),
  refused("wellFormed", "text before the header", `x${header}`, "not-well-formed"),
  refused("wellFormed", "CDATA before the header", `<![CDATA[]]>${header}`, "not-well-formed"),
  { ...refused("wellFormed", "end tag before the header", "</stream:stream>", "not-well-formed"), decidedAfter: 2 },
  refused("wellFormed", "end tag without a name before the header", `</>${header}`, "not-well-formed"),
  refused("wellFormed", "second root", `${header}${footer}${header}`, "not-well-formed"),
  refused("wellFormed", "text after the end", `${header}${footer}x`, "not-well-formed"),
  refused("wellFormed", "reference after the end", `${header}${footer}&#32;`, "not-well-formed"),
  refused("wellFormed", "unclosed quotation after the end", `${header}${footer}<a b='`, "not-well-formed"),
  refused("wellFormed", "stanza after an empty stream element", "<s xmlns='urn:s'/><m/>", "not-well-formed"),
  refused("wellFormed", "XML 1.1", `<?xml version='1.1'?>${header}`, "not-well-formed"),
  refused("wellFormed", "XML version 1m0", `<?xml version='1m0'?>${header}`, "not-well-formed"),
  refused("wellFormed", "XML declaration without version", `<?xml encoding='UTF-8'?>${header}`, "not-well-formed"),
  refused("wellFormed", "XML declaration with nothing in it", `<?xml ?>${header}`, "not-well-formed"),
  refused(
    "wellFormed",
    "XML declaration out of order",
    `<?xml version='1.0' standalone='no' encoding='UTF-8'?>${header}`,
    "not-well-formed",
  ),
  refused("wellFormed", "XML declaration with version twice", `<?xml version='1.0' version='1.0'?>${header}`, "not-well-formed"),
  refused("wellFormed", "XML declaration with something else", `<?xml version='1.0' lang='de'?>${header}`, "not-well-formed"),
  refused("wellFormed", "XML declaration with a reference", `<?xml version='1.0' encoding='&#85;TF-8'?>${header}`, "not-well-formed"),
  refused("wellFormed", "XML declaration closed like a tag", `<?xml version='1.0'>${header}`, "not-well-formed"),
  refused("wellFormed", "XML declaration closed like an empty tag", `<?xml version='1.0'/>${header}`, "not-well-formed"),
  refused("wellFormed", "standalone maybe", `<?xml version='1.0' standalone='maybe'?>${header}`, "not-well-formed"),
  refused("wellFormed", "question mark in a tag", inside("<m?>"), "not-well-formed"),
]

/** `<m>`, `fill` characters, `</m>`: 7 bytes and the filling. */
const stanzaOf = (bytes: number): string => `<m>${"x".repeat(bytes - 7)}</m>`
const many = (count: number, one: (i: number) => string): string => Array.from({ length: count }, (_, i) => one(i)).join("")

function within(name: string, content: string, limits: Partial<XmlLimits>): CorpusCase {
  return { group: "limits", name, document: inside(content), limits }
}

const limits: CorpusCase[] = [
  within("stanza as large as allowed", stanzaOf(1000), { stanzaBytes: 1000 }),
  { ...refusedAt("limits", "stanza one byte too large", stanzaOf(1001).slice(0, 1000), "policy-violation", { stanzaBytes: 1000 }) },
  within("limit counts from less-than to greater-than", ` \n ${stanzaOf(200)}\n\n${stanzaOf(200)} `, { stanzaBytes: 200 }),
  refusedAt("limits", "attribute that fills the limit", `<m a='${"x".repeat(194)}`, "policy-violation", { stanzaBytes: 200 }),
  refusedAt("limits", "multi-byte character across the limit", raw(`<m>${"x".repeat(195)}\xe2\x82`), "policy-violation", {
    stanzaBytes: 200,
  }),
  { ...refused("limits", "header too large", header, "policy-violation"), limits: { stanzaBytes: 100 }, decidedAfter: 100 },
  {
    ...refused("limits", "XML declaration too large", `<?xml version='1.0'${" ".repeat(300)}`, "policy-violation"),
    limits: { stanzaBytes: 200 },
    decidedAfter: 200,
  },
  within("nesting as deep as allowed", "<d>".repeat(64) + "</d>".repeat(64), {}),
  refusedAt("limits", "nesting one too deep", `${"<d>".repeat(64)}<d`, "policy-violation"),
  refused("limits", "nesting bomb", `${header}${"<d>".repeat(100_000)}`, "policy-violation"),
  within("as many attributes as allowed", `<m ${many(64, (i) => `a${i}='' `)}/>`, {}),
  refusedAt("limits", "one attribute too many", `<m ${many(64, (i) => `a${i}='' `)}b=`, "policy-violation"),
  within("as many declarations as allowed", `<m ${many(64, (i) => `xmlns:a${i}='u' `)}/>`, {}),
  refusedAt("limits", "one declaration too many", `<m ${many(64, (i) => `xmlns:a${i}='u' `)}xmlns=`, "policy-violation"),
  within("name as long as allowed", `<${"n".repeat(256)}/>`, {}),
  refusedAt("limits", "name one character too long", `<${"n".repeat(257)}`, "policy-violation"),
  refusedAt("limits", "attribute name too long", `<m ${"n".repeat(257)}`, "policy-violation"),
  within("long name counted in characters", `<${"é".repeat(256)}/>`, {}),
  refusedAt("limits", "one node too many", `<m>${"<a/>".repeat(9_999)}<a`, "policy-violation"),
  within("as many nodes as allowed", `<m>${"<a/>x".repeat(4_999)}<a/></m>`, {}),
  refusedAt("limits", "text is a node", "<m><a/><a/>x", "policy-violation", { nodes: 3 }),
  within("attributes that collide in a simple hash", `<m ${many(64, (i) => `${"Aa".repeat(5)}${i}='' `)}/>`, {}),
  refused("limits", "attribute bomb", `${header}<m ${many(50_000, (i) => `a${i}='' `)}/>`, "policy-violation"),
]

export const corpus: readonly CorpusCase[] = [...accept, ...restricted, ...chars, ...utf8Cases, ...namespaces, ...wellFormed, ...limits]
