import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import "./workers";
import "./styles";
import { tabs } from "./examples";
import { fetcher } from "./fetcher";
import { tab } from "./linked";

const plugins = [HISTORY_PLUGIN, explorerPlugin()];

// Monaco measures its font once, as an editor opens: a font that came later would misplace the cursor.
await Promise.allSettled([document.fonts.load('15px "Fira Code"'), document.fonts.load("15px Roboto")]);

createRoot(document.getElementById("root")!).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    defaultTabs={tab ? [tab, ...tabs] : tabs}
    initialQuery={tab?.query}
    initialVariables={tab?.variables}
    inputValueDeprecation
    schemaDescription
  >
    <GraphiQL.Logo>
      <a className="graphiql-logo-link" href="/">
        SmartFin
      </a>
    </GraphiQL.Logo>
  </GraphiQL>,
);
