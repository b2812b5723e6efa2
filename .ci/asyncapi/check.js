// Parses the AsyncAPI documents that are named and prints what is wrong with them. Exit code 1: something is, a warning included.
import { readFileSync } from "node:fs";
import { DiagnosticSeverity, Parser } from "@asyncapi/parser";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";

let wrong = process.argv.length < 3;
for (const file of process.argv.slice(2)) {
  const parser = new Parser();
  parser.registerSchemaParser(AvroSchemaParser());
  const { document, diagnostics } = await parser.parse(readFileSync(file, "utf8"), { source: file });
  const found = diagnostics.filter((d) => d.severity <= DiagnosticSeverity.Warning);
  for (const d of found) {
    console.error(`${file}: ${d.path.join(".")}: ${d.message} (${d.code})`);
  }
  if (!document || found.length > 0) {
    wrong = true;
    continue;
  }
  console.log(`${file}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ${document.messages().length} messages`);
}
process.exitCode = wrong ? 1 : 0;
