import "./styles/colors.css";
import "./styles/page.css";
import "./styles/dialog.css";
import "./styles/watchlist.css";
import "./styles/chart.css";
import "./styles/sources.css";
import "./styles/alerts.css";
