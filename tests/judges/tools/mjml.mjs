// What MJML's own compiler has against files in strict mode: {"files": {name: path}} in, {name: [error]} out.
import fs from "node:fs";
import mjml2html from "mjml";

const { files } = JSON.parse(process.argv[2]);
const found = {};
for (const [name, path] of Object.entries(files)) {
  try {
    const { errors } = await mjml2html(fs.readFileSync(path, "utf8"), { validationLevel: "strict", fonts: {} });
    found[name] = errors.map(error => error.formattedMessage);
  } catch (error) {
    found[name] = (error.errors ?? [error]).map(one => one.formattedMessage ?? one.message);
  }
}
console.log(JSON.stringify(found));
