// What caniemail.com's data has against files: {"files": {name: path}, "strict": [client]} in, by name
// {"strict": [title], "everywhere": [title]} out.
import fs from "node:fs";
import { caniemail } from "caniemail";

const { files, strict } = JSON.parse(process.argv[2]);
const titles = (html, clients) => {
  const { issues } = caniemail({ clients, html });
  return [...new Set([...issues.errors.values()].flat().map(issue => issue.title))].sort();
};
const found = {};
for (const [name, path] of Object.entries(files)) {
  const html = fs.readFileSync(path, "utf8");
  found[name] = { strict: titles(html, strict), everywhere: titles(html, ["*"]) };
}
console.log(JSON.stringify(found));
