// Starts the page: the theme, the tabs, and each tab when it is first opened.

import { startChat } from "./chat.js";
import { startDecide } from "./decide.js";
import { startDraw } from "./draw.js";
import { startJson } from "./json.js";
import { modelId } from "./model.js";
import { startRewrite } from "./rewrite.js";
import { startSudoku } from "./sudoku.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";

const START = {
  chat: startChat,
  rewrite: startRewrite,
  sudoku: startSudoku,
  draw: startDraw,
  decide: startDecide,
  json: startJson,
};

const started = new Set();

function opened(name) {
  if (started.has(name)) return;
  started.add(name);
  START[name](document.getElementById(`panel-${name}`));
}

startTheme(document.getElementById("theme"));
startTabs(document.querySelector('[role="tablist"]'), opened);

const model = document.getElementById("model");
modelId().then(
  (id) => (model.textContent = id),
  (error) => (model.textContent = error.message),
);
