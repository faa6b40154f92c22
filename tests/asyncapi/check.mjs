// Usage: check.mjs FOLDER <DOCUMENT: reads an AsyncAPI document by the parser in FOLDER (made by ./install), resolves its
// references, and prints {"version", "diagnostics", "channels", "operations", "messages"} as JSON. "version" is null
// when the parser refuses the document.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.argv[2]}/`);
const { Parser } = require('@asyncapi/parser');

const { document, diagnostics } = await new Parser().parse(readFileSync(0, 'utf8'));
const ids = (collection) => collection.all().map((each) => each.id());
console.log(JSON.stringify({
    version: document ? document.version() : null,
    diagnostics: diagnostics.map(({ severity, code, path, message }) => ({ severity, code, path, message })),
    channels: document ? document.channels().all().map((each) => each.address()) : [],
    operations: document ? document.operations().all().map((each) => ({ id: each.id(), action: each.action() })) : [],
    messages: document ? ids(document.components().messages()) : [],
    payloads: document ? document.components().messages().all().filter((each) => each.hasPayload()).length : 0,
}));
