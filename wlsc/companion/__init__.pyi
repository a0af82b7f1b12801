from wlsc.companion import explorers as explorers
from wlsc.companion import results as results
