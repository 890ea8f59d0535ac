int chf_placeholder(void){return 0;}
